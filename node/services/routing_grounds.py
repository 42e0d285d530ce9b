"""What speaks for and against buying one request of a peer: liveness, cover, price, and the peer's own word.

One rule for offloads and for what is bought beside them (probes, the second answers of duels): an executor that is
asked and bought from in another way would know which is which (threat D6).
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from node.core.membership.members import Member
from node.core.routing.standing import Hearing, row_for
from node.core.routing.types import Dice, RouteRequest, Skip
from node.core.types import Address, Amount, Bytes32, TokenCount
from node.ports.network import Membership
from node.ports.routing import PeerMarket
from node.services.bids import Answerer, Heard, heard_standing
from node.services.draws import Draws, DrawTask
from node.services.peer_book import PeerBook
from node.services.routing_basis import StakeBasis
from node.services.routing_policies import Policies
from node.services.routing_view import OwnView


@dataclass(frozen=True, slots=True)
class RouterParts:
    """What a router is made of."""

    view: OwnView
    policies: Policies
    basis: StakeBasis
    draws: Draws
    answerer: Answerer
    membership: Membership
    market: PeerMarket
    dice: Dice


@dataclass(frozen=True, slots=True)
class Grounds:
    """See module. `dearest`: the most to give for prompt and completion tokens (rule 7: both leave the margin)."""

    parts: RouterParts
    peers: PeerBook
    request: RouteRequest
    model: Bytes32
    dearest: tuple[Amount, Amount]
    failed: AbstractSet[Address] = frozenset()
    """Who has failed this request before."""

    def task(self, origin: Bytes32) -> DrawTask:
        """What is drawn or asked for; `origin`: the hash of the terms it is served under."""
        return DrawTask(
            request=self.request,
            origin=origin,
            model=self.model,
            config=self.parts.policies.config,
            know=self.know,
            judge=self.judge,
            standing=self.standing,
        )

    def know(self, address: Address) -> Skip | None:
        """What speaks against asking it at all."""
        if address in self.failed or self.peers.record(address).is_avoided(self._monotonic()):
            return Skip.BACKING_OFF
        member = self.parts.membership.member(address)
        if member is None or not member.is_alive:
            return Skip.DEAD
        if self.parts.market.cover_left(address) < 1:
            return Skip.NO_COVER
        row = member.bid.bid.row_of(self.model) if member.bid is not None else None
        return None if row is None else self._too_expensive(row.price_prompt, row.price_completion)

    def judge(self, heard: Heard) -> Skip | None:
        """What speaks against a bid after all."""
        if heard.row is None or heard.bid is None:
            return None
        if self.parts.market.cover_left(heard.member.payee) < heard.bid.price:
            return Skip.NO_COVER
        return self._too_expensive(heard.row.price_prompt, heard.row.price_completion)

    def standing(self, member: Member) -> Heard | None:
        """What a peer said of itself lately, where that answers for this request."""
        if not self.parts.policies.config.standing_bids or member.bid is None or member.bid_age_seconds is None:
            return None
        sent_since = self.peers.sent_since(member.payee, self._monotonic() - member.bid_age_seconds)
        hearing = Hearing(member.bid_age_seconds, self.parts.draws.identity.clock.now(), sent_since)
        row = row_for(member.bid, self.model, self.request, hearing)
        tokens = TokenCount(self.request.prompt_tokens, self.request.max_tokens)
        return None if row is None else heard_standing(member, row, tokens)

    def _too_expensive(self, price_prompt: int, price_completion: int) -> Skip | None:
        fits = price_prompt <= self.dearest[0] and price_completion <= self.dearest[1]
        return None if fits else Skip.TOO_EXPENSIVE

    def _monotonic(self) -> float:
        return self.parts.view.clock.monotonic()
