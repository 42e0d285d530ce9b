"""Learning a provider: its offer, signed by the operator key that the escrow names, and the artifacts it counts with.

Nothing a provider says is believed here but its prices: who it is comes from the chain, how tokens are counted from the
owner's pins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.client.effects import Compute, Fetch, Flow, NoReply, ReadPayee, Reply
from node.client.escrow import PayeeFacts
from node.client.payer import Payer
from node.client.pins import ARTIFACT_LIMIT, Pin, check_pinned
from node.core.assembly import json_object
from node.core.errors import BadVoucher, ChainUnavailable, PeerFailed, Refused, UnknownModel, WrongSignature
from node.core.hashing import keccak
from node.core.messages import ModelOffer, Offer
from node.core.types import ZERO_ADDRESS, Address, Bytes32, LaneKey, Seconds
from node.core.wire import hex_of, offer_from_json, signature_of
from node.ports.engine import TokenCounter

FRESH_SECONDS = Seconds(60)
"""How long an offer and the escrow's facts about a payee are used before they are read again."""
STALE_SECONDS = Seconds(3_600)
"""How long the escrow's facts are used while no RPC endpoint answers (protocol: W / 10, W = 24 h; rounded down)."""
OFFER_LIMIT = 1 << 20


class UntrustedProvider(Refused):
    """What this provider shows does not fit the chain or the owner's pins; nothing is paid to it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as learnt at `learnt_at`."""

    url: str
    facts: PayeeFacts
    offer: Offer
    offer_hash: Bytes32
    learnt_at: Seconds

    def lane_key(self, payer: Address, lane: Address) -> LaneKey:
        """The lane of one signer with this payee, in its present generation."""
        return LaneKey(payer, self.facts.payee, lane, self.facts.generation)

    def model_named(self, name: str) -> ModelOffer:
        """Raises UnknownModel."""
        model = self.offer.model_named(name)
        if model is None:
            raise UnknownModel(f"this provider does not offer {name}", param="model")
        return model


@dataclass(slots=True)
class Directory:
    """What was learnt, kept in memory: providers by URL, counters by their artifacts. Forgetting is always safe."""

    providers: dict[str, Provider] = field(default_factory=dict)
    facts: dict[Address, tuple[PayeeFacts, Seconds]] = field(default_factory=dict)
    """What the escrow said of a payee, and when."""
    counters: dict[Pin, TokenCounter] = field(default_factory=dict)

    def forget(self, url: str) -> None:
        """The provider's offer or generation has changed."""
        self.providers.pop(url, None)


def learn(url: str, payer: Payer, directory: Directory) -> Flow[Provider]:
    """The provider behind a URL. Raises PeerFailed, UntrustedProvider or ChainUnavailable."""
    now = Seconds(int(payer.tools.clock.now()))
    known = directory.providers.get(url)
    if known is not None and known.learnt_at <= now < known.learnt_at + FRESH_SECONDS:
        return known
    document = yield from _fetch_json(f"{url}/v1/offers/current")
    offer = _offer_of(document, url)
    facts, read_at = yield from _read_facts(offer.payee, directory, now)
    _check_offer(document, offer, facts, payer)
    _check_registered(offer, facts)
    if not offer.valid_from <= now <= offer.valid_until:
        raise UntrustedProvider(f"the offer of {url} is not valid now", valid_until=offer.valid_until)
    provider = Provider(url, facts, offer, offer.struct_hash(), now)
    directory.providers[url] = provider
    directory.facts[offer.payee] = (facts, read_at)
    return provider


def _read_facts(payee: Address, directory: Directory, now: Seconds) -> Flow[tuple[PayeeFacts, Seconds]]:
    """From the chain; while no endpoint answers, what it said within the last hour. Raises ChainUnavailable.

    Old facts cannot cost more than the exposure: a payee that has changed its key since refuses their generation.
    """
    try:
        facts: PayeeFacts = yield ReadPayee(payee)
    except ChainUnavailable:
        known = directory.facts.get(payee)
        if known is None or now >= known[1] + STALE_SECONDS:
            raise
        return known
    return facts, now


def _fetch_json(url: str) -> Flow[Mapping[str, object]]:
    reply: Reply | NoReply = yield Fetch("GET", url, limit=OFFER_LIMIT)
    if isinstance(reply, NoReply):
        raise PeerFailed(f"{url}: {reply.why}")
    document = json_object(reply.body)
    if reply.status != 200 or document is None:
        raise PeerFailed(f"{url}: HTTP {reply.status} instead of an offer")
    return document


def _offer_of(document: Mapping[str, object], url: str) -> Offer:
    try:
        return offer_from_json(document.get("offer"))
    except BadVoucher as exc:
        raise UntrustedProvider(f"the offer of {url} is malformed: {exc.message}") from exc


def _check_offer(document: Mapping[str, object], offer: Offer, facts: PayeeFacts, payer: Payer) -> None:
    if facts.operator == ZERO_ADDRESS or not facts.generation:
        raise UntrustedProvider(
            "the escrow knows no operator of this payee (not final yet?)", payee=hex_of(offer.payee)
        )
    try:
        signature = signature_of(document.get("signature"))
        signer = payer.tools.recover(payer.domain.digest(offer.struct_hash()), signature)
    except (BadVoucher, WrongSignature) as exc:
        raise UntrustedProvider(f"the offer's signature is malformed: {exc.message}") from exc
    if signer != facts.operator:
        raise UntrustedProvider(
            "the offer is not signed by the operator key that the escrow names",
            signer=hex_of(signer),
            operator=hex_of(facts.operator),
        )


def _check_registered(offer: Offer, facts: PayeeFacts) -> None:
    """An old offer, or one for some clients only, is signed as well as the one in the registry (threat H2)."""
    if facts.offers and offer.struct_hash() not in facts.offers:
        raise UntrustedProvider(
            "the offer is not the one that the registry names for this payee",
            offer=hex_of(offer.struct_hash()),
            registered=" ".join(sorted(hex_of(one) for one in facts.offers)),
        )


def learn_counter(url: str, model: str, pin: Pin, payer: Payer, directory: Directory) -> Flow[TokenCounter]:
    """The counter of a pinned model. Raises BadConfig (not pinned), UntrustedProvider or PeerFailed."""
    check_pinned(payer.pins, model, pin)
    known = directory.counters.get(pin)
    if known is not None:
        return known
    tokenizer = yield from _fetch_artifact(url, pin.tokenizer)
    template = yield from _fetch_artifact(url, pin.template)
    make = payer.tools.make_counter
    counter: TokenCounter = yield Compute(lambda: make(tokenizer, template), len(tokenizer) + len(template))
    directory.counters[pin] = counter
    return counter


def _fetch_artifact(url: str, wanted: Bytes32) -> Flow[bytes]:
    reply: Reply | NoReply = yield Fetch("GET", f"{url}/v1/artifacts/{hex_of(wanted)}", limit=ARTIFACT_LIMIT)
    if isinstance(reply, NoReply) or reply.status != 200:
        why = reply.why if isinstance(reply, NoReply) else f"HTTP {reply.status}"
        raise PeerFailed(f"{url} does not serve the artifact {hex_of(wanted)}: {why}")
    if keccak(reply.body) != wanted:
        raise UntrustedProvider("an artifact is not what its hash says", artifact=hex_of(wanted))
    return reply.body
