"""Bids, both ways: asking peers what they would do for a request, and answering them by this provider's own settings.

Both sides sign: only registered providers are answered, and a yes or no can be shown to an auditor. Reserves nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from node.core.bids import (
    Bid,
    ModelBid,
    SignedBid,
    bid_from_json,
    bid_to_json,
    micros_of,
    millis_of,
    routing_bid,
)
from node.core.errors import BadRequest, BadVoucher, PeerFailed, WrongSignature, WwwserveError
from node.core.hashing import Domain
from node.core.membership.members import Member
from node.core.pricing import charge_of
from node.core.routing.admission import Enquiry, answer_enquiry
from node.core.routing.enquiry import (
    Question,
    Refusal,
    SignedRefusal,
    question_from_json,
    question_to_json,
    refusal_from_json,
    refusal_to_json,
)
from node.core.routing.types import Bid as RoutingBid
from node.core.routing.types import Case, Demands, Dice, RouteRequest, Skip
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Bytes32, Micros, Signature, TokenCount
from node.ports.basics import Clock, Signer
from node.ports.engine import Offers
from node.ports.network import Limits, Membership, Peers
from node.services.parts import Recover
from node.services.routing_policies import Policies
from node.services.routing_view import OwnView

BID_PATH = "/v1/bids"
ASK_SECONDS = 1.0
"""A bid that takes longer is not waited for."""
SKEW_SECONDS = 60.0
"""How old, or ahead of our clock, an enquiry may be."""
MOST_PROMISES = 10_000
STANDING_PROMPT, STANDING_TOKENS = 512, 1_024
"""The middling request that a standing bid speaks of."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is to its peers."""

    me: Address
    signer: Signer
    recover: Recover
    domain: Domain
    clock: Clock

    def sign(self, struct_hash: Bytes32) -> Signature:
        """By the operator key."""
        return self.signer.sign(self.domain.digest(struct_hash))

    def is_by(self, operator: Address, struct_hash: Bytes32, signature: Signature) -> bool:
        """Whether that operator signed it."""
        try:
            return self.recover(self.domain.digest(struct_hash), signature) == operator
        except WrongSignature:
            return False

    def micros(self) -> Micros:
        """Now."""
        return Micros(int(self.clock.now() * 1e6))


@dataclass(frozen=True, slots=True)
class Heard:
    """What came back from one peer: a bid, or a reason. `evidence` is its signed word as JSON, if it gave one."""

    member: Member
    bid: RoutingBid | None
    row: ModelBid | None
    reason: Skip | None
    evidence: Mapping[str, Any] | None


def heard_standing(member: Member, row: ModelBid, tokens: TokenCount) -> Heard | None:
    """A standing bid as an answer; None when there is none."""
    if member.bid is None:
        return None
    return Heard(member, routing_bid(member.payee, row, tokens), row, None, bid_to_json(member.bid))


class Asker:
    """Asks peers for bids."""

    def __init__(self, identity: Identity, peers: Peers) -> None:
        self._identity = identity
        self._peers = peers

    async def ask_all(self, members: list[Member], make: "QuestionMaker") -> list[Heard]:
        """One answer each, in the same order. Raises nothing: silence is an answer."""
        return list(await asyncio.gather(*(self._ask(member, make.question(member.payee)) for member in members)))

    async def _ask(self, member: Member, question: Question) -> Heard:
        body = question_to_json(question, self._identity.sign(question.struct_hash()))
        try:
            async with asyncio.timeout(ASK_SECONDS):
                reply = await self._peers.post_json(member, BID_PATH, body, Limits(seconds=ASK_SECONDS))
            return self._read(member, question, reply.document)
        except (WwwserveError, TimeoutError):
            return Heard(member, None, None, Skip.TIMED_OUT, None)

    def _read(self, member: Member, question: Question, document: Mapping[str, object]) -> Heard:
        """Raises PeerFailed or BadVoucher for what is not this peer's word on this question."""
        if (no := document.get("refusal")) is not None:
            refused = refusal_from_json(no)
            self._check(member, refused.refusal, refused.signature)
            if (refused.refusal.request_id, refused.refusal.asker) != (question.request_id, question.asker):
                raise PeerFailed("the peer refuses another question")
            return Heard(member, None, None, refused.refusal.reason, refusal_to_json(refused))
        signed = bid_from_json(document.get("bid"))
        self._check(member, signed.bid, signed.signature)
        row = signed.bid.row_of(question.model)
        if signed.bid.request_id != question.request_id or row is None:
            raise PeerFailed("the peer bids for another question")
        tokens = TokenCount(question.prompt_tokens, question.max_tokens)
        return Heard(member, routing_bid(member.payee, row, tokens), row, None, bid_to_json(signed))

    def _check(self, member: Member, said: Bid | Refusal, signature: Signature) -> None:
        if said.payee != member.payee or not self._identity.is_by(member.operator, said.struct_hash(), signature):
            raise PeerFailed("the answer is not signed by the provider that was asked")


@dataclass(frozen=True, slots=True)
class QuestionMaker:
    """The same question to several peers."""

    asker: Address
    request: RouteRequest
    origin: Bytes32
    model: Bytes32
    issued_at: Micros

    def question(self, asked: Address) -> Question:
        """To one of them."""
        request = self.request
        finish = 0 if request.finish_by is None else max(int(request.finish_by * 1e3), 1)
        return Question(
            asker=self.asker,
            asked=asked,
            request_id=request.request_id,
            origin=self.origin,
            model=self.model,
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.max_tokens,
            finish_millis=finish,
            issued_at=self.issued_at,
            path=request.path,
        )


class Answerer:
    """Answers peers, and remembers to whom it has said yes."""

    def __init__(
        self, identity: Identity, membership: Membership, policies: Policies, view: OwnView, dice: Dice, offers: Offers
    ) -> None:
        self._identity = identity
        self._membership = membership
        self._policies = policies
        self._view = view
        self._dice = dice
        self._offers = offers
        self._promised: dict[tuple[Address, Bytes32], None] = {}
        self._number = 0

    def has_promised(self, asker: Address, origin: Bytes32) -> bool:
        """Whether this asker was given a bid for purchases of this `originHash`."""
        return (asker, origin) in self._promised

    def answer(self, body: object) -> dict[str, Any]:
        """A signed bid or a signed refusal. Raises BadRequest, WrongSignature for what deserves no answer."""
        try:
            question, signature = question_from_json(body)
        except BadVoucher as exc:
            raise BadRequest(exc.message) from exc
        self._check(question, signature)
        outcome = self._outcome(question)
        if isinstance(outcome, Skip):
            refusal = Refusal(self._identity.me, question.asker, question.request_id, outcome, self._identity.micros())
            return {"refusal": refusal_to_json(SignedRefusal(refusal, self._identity.sign(refusal.struct_hash())))}
        self._remember(question)
        return {"bid": bid_to_json(self._signed(question.request_id, (outcome,)))}

    def takes(self, name: str, request: RouteRequest) -> Skip | None:
        """What this provider's settings say against a purchase it was not asked about; the path's last one buys."""
        asker = request.path[-1] if request.path else ZERO_ADDRESS
        if self._identity.me in request.path:
            return Skip.ON_PATH
        outcome = self._outcome_for(name, replace(request, demands=Demands()), asker)
        if outcome in (Skip.NO_MODEL, Skip.REFUSED_BUSY) and self._view.best(request)[0] is None:
            return None  # without an engine of its own it is never busy: it may pass it on, within the hop limit
        return outcome if isinstance(outcome, Skip) else None

    def standing_rows(self) -> list[ModelBid]:
        """ports.network.Bidding: what this node would bid now for a middling request, a row a model."""
        rows = []
        for model in self._offers.current().models:
            request = RouteRequest(Bytes32(ZERO32), (model.name,), STANDING_PROMPT, STANDING_TOKENS)
            outcome = self._outcome_for(model.name, request, self._identity.me)
            if isinstance(outcome, ModelBid):
                rows.append(outcome)
        return rows

    def _check(self, question: Question, signature: Signature) -> None:
        if question.asked != self._identity.me:
            raise BadRequest("this question is for another provider", param="asked")
        if abs(question.issued_at / 1e6 - self._identity.clock.now()) > SKEW_SECONDS:
            raise BadRequest("this question is too old, or from the future", param="issuedAt")
        member = self._membership.member(question.asker)
        if member is None:
            raise WrongSignature("only registered providers are answered")
        if not self._identity.is_by(member.operator, question.struct_hash(), signature):
            raise WrongSignature("the question is not signed by the operator key of its asker")

    def _outcome(self, question: Question) -> ModelBid | Skip:
        name = next((m.name for m in self._offers.current().models if m.model == question.model), None)
        if name is None:
            return Skip.NO_MODEL
        if self._identity.me in question.path:
            return Skip.ON_PATH
        finish = question.finish_millis / 1e3 if question.finish_millis else None
        request = RouteRequest(
            question.request_id,
            (name,),
            question.prompt_tokens,
            question.max_tokens,
            finish,
            question.path,
            Demands(),
        )
        return self._outcome_for(name, request, question.asker)

    def _outcome_for(self, name: str, request: RouteRequest, asker: Address) -> ModelBid | Skip:
        model = self._offers.current().model_named(name)
        if model is None:
            return Skip.NO_MODEL
        tokens = TokenCount(request.prompt_tokens, request.max_tokens)
        case = self._view.case(request)
        enquiry = Enquiry(
            case=case,
            asker=asker,
            now=self._identity.clock.now(),
            price=charge_of(tokens, model.price_prompt, model.price_completion),
            offered_models=frozenset({name}),
            own_queue=self._view.queued(),
        )
        bid = answer_enquiry(self._policies.config, self._identity.me, enquiry, self._dice)
        if isinstance(bid, Skip):
            return bid
        return ModelBid(
            model=model.model,
            price_prompt=model.price_prompt,
            price_completion=model.price_completion,
            start_millis=millis_of(bid.forecast.start_seconds),
            token_micros=micros_of(bid.forecast.token_seconds),
            added_millis=millis_of(bid.forecast.added_seconds),
            in_flight=bid.in_flight,
            free_slots=self._free_slots(case),
            kv_room=self._view.kv_room(case),
        )

    def _free_slots(self, case: Case) -> int:
        return max(self._view.max_sequences() - case.here.in_flight, 1) if case.here.has_slot else 0

    def _signed(self, request_id: Bytes32, rows: tuple[ModelBid, ...]) -> SignedBid:
        self._number += 1
        bid = Bid(self._identity.me, request_id, self._number, self._identity.micros(), rows)
        return SignedBid(bid, self._identity.sign(bid.struct_hash()))

    def _remember(self, question: Question) -> None:
        if len(self._promised) >= MOST_PROMISES:
            del self._promised[next(iter(self._promised))]
        self._promised[question.asker, question.origin] = None
