"""From facts to the state a node acts on (protocol rule 2): pure folds over the events of one subject, in chain order.

Undoing a reorganisation means dropping facts and replaying. Good news (cover, a signer, a generation) counts once its
block is finalised, bad news at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from node.core.facts import ChainEvent
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Bytes32, Micros, Seconds


@dataclass(frozen=True, slots=True)
class PairFacts:
    """A pair in the escrow: `allotted` is a lifetime total."""

    allotted: Amount = Amount(0)
    thawing: Amount = Amount(0)
    thaw_end: Seconds = Seconds(0)

    @property
    def cover(self) -> Amount:
        """The lifetime total a payee may count on."""
        return Amount(self.allotted - self.thawing)


def fold_pair(state: PairFacts, event: ChainEvent) -> PairFacts:
    """The pair after one event."""
    match event.name:
        case "Allotted":
            return replace(state, allotted=Amount(event.number("allotted")))
        case "ThawRequested":
            thawing, end = event.number("newAmount"), event.number("thawEnd")
            return replace(state, thawing=Amount(thawing), thaw_end=Seconds(end if thawing else 0))
        case "ThawCancelled":
            return replace(state, thawing=Amount(0), thaw_end=Seconds(0))
        case "ThawFinished":
            return PairFacts(allotted=Amount(event.number("allotted")))
    return state


@dataclass(frozen=True, slots=True)
class PairView:
    """What the node may act on: `cover` is the lowest since the finalised block, the thaw is the newest."""

    cover: Amount
    thawing: Amount
    thaw_end: Seconds


def replay_pair(events: Sequence[ChainEvent], finalised: int) -> PairView:
    """All events of one pair, in order. Cover = min of allotted - thawing over the ends of blocks finalised..head."""
    state = PairFacts()
    covers = [state.cover]
    for number, group in groupby(events, key=lambda event: event.block_number):
        for event in group:
            state = fold_pair(state, event)
        covers = [state.cover] if number <= finalised else [*covers, state.cover]
    return PairView(Amount(min(covers)), state.thawing, state.thaw_end)


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """A lane in the escrow, at the head: what was claimed through it ever, and its last mined claim."""

    claimed: Amount = Amount(0)
    generation: int = 0
    seq: Micros = Micros(0)
    count: int = 0
    root: Bytes32 = ZERO32


def replay_lane(events: Sequence[ChainEvent]) -> LaneFacts:
    """Events of one lane, in order; the last `Settled` alone is enough."""
    state = LaneFacts()
    for event in events:
        if event.name == "Settled":
            state = LaneFacts(
                claimed=Amount(event.number("claimedAfter")),
                generation=event.number("generation"),
                seq=Micros(event.number("seq")),
                count=event.number("count"),
                root=event.bytes32("root"),
            )
    return state


@dataclass(frozen=True, slots=True)
class SignerView:
    """A further signer: whom it signs for and up to which total per pair. `is_live` False: take no new work from it."""

    payer: Address = ZERO_ADDRESS
    cap: Amount = Amount(0)
    is_live: bool = False
    thaw_end: Seconds = Seconds(0)


def replay_signer(events: Sequence[ChainEvent], finalised: int) -> SignerView:
    """Authorisation and raised caps count when finalised; a thaw or revocation at once (threat P11)."""
    view = SignerView()
    for event in events:
        is_final = event.block_number <= finalised
        match event.name:
            case "SignerAuthorized":
                cap = event.number("cap") if is_final else 0
                view = SignerView(event.address("payer"), Amount(cap), is_live=is_final)
            case "SignerCapRaised" if is_final:
                view = replace(view, cap=Amount(event.number("newCap")))
            case "SignerThawing":
                view = replace(view, is_live=False, thaw_end=Seconds(event.number("thawEnd")))
            case "SignerRevoked":
                view = replace(view, is_live=False)
    return view


@dataclass(frozen=True, slots=True)
class PayeeView:
    """A payee's keys. `generation` is the one that vouchers must name now: 0 = none, take no new work.

    `head_generation` is the newest on chain; `operators` maps every generation to its operator key (for late claims).
    """

    generation: int = 0
    operator: Address = ZERO_ADDRESS
    head_generation: int = 0
    operators: Mapping[int, Address] | None = None

    def operator_of(self, generation: int) -> Address:
        """The operator key of a generation; zero when there never was one."""
        return (self.operators or {}).get(generation, ZERO_ADDRESS)


def replay_payee(events: Sequence[ChainEvent], finalised: int) -> PayeeView:
    """A newer generation closes the old one at once and opens when finalised; in between nothing is admitted."""
    operators: dict[int, Address] = {}
    newest, newest_final = 0, 0
    for event in events:
        match event.name:
            case "OperatorSet":
                newest = event.number("generation")
                operators[newest] = event.address("operator")
            case "GenerationBumped":
                newest = event.number("newGeneration")
                operators[newest] = operators.get(event.number("oldGeneration"), ZERO_ADDRESS)
        if event.block_number <= finalised:
            newest_final = newest
    current = newest if newest == newest_final else 0
    return PayeeView(current, operators.get(current, ZERO_ADDRESS), newest, operators)


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A provider in the registry, at the last event given."""

    provider: Address = ZERO_ADDRESS
    is_listed: bool = False
    endpoint: str = ""
    offer_hash: Bytes32 = ZERO32
    stake: Amount = Amount(0)
    unbonding: Amount = Amount(0)
    unbond_end: Seconds = Seconds(0)


def replay_provider(events: Sequence[ChainEvent]) -> ProviderView:
    """All events of one provider, in order."""
    view = ProviderView()
    for event in events:
        view = fold_provider(view, event)
    return view


def fold_provider(view: ProviderView, event: ChainEvent) -> ProviderView:
    """The provider after one event."""
    view = replace(view, provider=event.address("provider"))
    match event.name:
        case "Registered":
            return replace(
                view,
                is_listed=True,
                endpoint=event.text("endpoint"),
                offer_hash=event.bytes32("offerHash"),
                stake=Amount(event.number("stake")),
            )
        case "EndpointSet":
            return replace(view, endpoint=event.text("newEndpoint"))
        case "OfferSet":
            return replace(view, offer_hash=event.bytes32("newOfferHash"))
        case "StakeWithdrawn":
            return replace(view, unbonding=Amount(0), unbond_end=Seconds(0))
    return _fold_stake(view, event)


def _fold_stake(view: ProviderView, event: ChainEvent) -> ProviderView:
    match event.name:
        case "StakeAdded":
            return replace(view, stake=Amount(event.number("stake")))
        case "UnstakeRequested":
            return replace(
                view,
                stake=Amount(event.number("stake")),
                unbonding=Amount(event.number("unbonding")),
                unbond_end=Seconds(event.number("unbondEnd")),
            )
        case "Deregistered":
            return replace(
                view,
                is_listed=False,
                stake=Amount(0),
                unbonding=Amount(event.number("unbonding")),
                unbond_end=Seconds(event.number("unbondEnd")),
            )
        case "Slashed":
            return replace(
                view,
                stake=Amount(event.number("stake")),
                unbonding=Amount(event.number("unbonding")),
            )
    return view
