"""A peer as one more backend of the serve path: opening it buys the answer in this node's own lane (rule 7)."""

from dataclasses import dataclass

import orjson

from node.core.account import Admission
from node.core.membership.members import Member
from node.core.routing.types import Bid, Forecast, RouteRequest
from node.core.types import Address, Amount, TokenCount
from node.core.wire import hex_of
from node.ports.engine import Exchange
from node.ports.routing import PeerExchange, PeerMarket, Purchase

SHORTEST_START, LONGEST_START = 3.0, 60.0
LATE_FACTOR = 4.0
"""A peer may begin this many times later than it promised before the next candidate is asked."""
IDLE_SECONDS = 15.0
ANSWER_SECONDS = 600.0
"""A plain answer shows nothing before its end."""
STEPS_PART = b"\n\n"


@dataclass(slots=True)
class Away:
    """One request at a peer: what was promised, and what has come of it."""

    peer: Address
    promise: Forecast
    sent_at: float
    events: int = 0

    def so_far(self, now: float) -> tuple[float, float]:
        """(seconds promised for what has come, seconds gone): what `record_with_pending` wants."""
        return self.promise.start_seconds + self.events * self.promise.token_seconds, now - self.sent_at


@dataclass(frozen=True, slots=True)
class Deal:
    """The terms under which this node may buy: its client's admission, and the margin it keeps."""

    admission: Admission
    margin: float
    finish_by: float | None
    is_stream: bool
    asked: RouteRequest | None = None
    """What peers are asked; its prompt's tokens as counted for the client, by the rules that the peer's pinned model
    has as well."""
    path: tuple[Address, ...] = ()
    """The nodes the request has passed, this one last."""

    def most(self, amount: Amount) -> Amount:
        """The most to give for what is sold at `amount`."""
        return Amount(int(amount / (1.0 + self.margin)))


class PeerEngine:
    """ports.Engine over one peer, for one request."""

    def __init__(self, market: PeerMarket, member: Member, bid: Bid, deal: Deal, away: Away) -> None:
        self._market = market
        self._member = member
        self._bid = bid
        self._deal = deal
        self._away = away

    def open(self, path: str, body: bytes) -> Exchange:
        """A purchase that has not begun."""
        terms = self._deal.admission.terms
        purchase = Purchase(
            member=self._member,
            path=path,
            body=self._for_peer(body),
            origin=terms.struct_hash(),
            hops=terms.hops + 1,
            flags=terms.flags,
            price_prompt=self._deal.most(terms.price_prompt),
            price_completion=self._deal.most(terms.price_completion),
            most=self._deal.most(terms.max_price),
            start_seconds=self._start_seconds(),
            idle_seconds=IDLE_SECONDS,
            asked=self._deal.asked,
        )
        return Counted(self._market.open(purchase), self._away)

    async def is_healthy(self) -> bool:
        """Its bid says so."""
        return True

    def _for_peer(self, body: bytes) -> bytes:
        """Less what is between us and our engine; with what is left of the client's time, and the way it came."""
        fields = orjson.loads(body)
        fields.pop("cache_salt", None)
        wishes: dict[str, object] = {}
        if self._deal.path:
            wishes["path"] = [hex_of(one) for one in self._deal.path]
        if self._deal.finish_by is not None:
            wishes["finish_within"] = round(max(self._deal.finish_by, 0.001), 3)
        if wishes:
            fields["wwwserve"] = wishes
        return orjson.dumps(fields)

    def _start_seconds(self) -> float:
        left = LONGEST_START if self._deal.finish_by is None else max(self._deal.finish_by, SHORTEST_START)
        if not self._deal.is_stream:
            return ANSWER_SECONDS if self._deal.finish_by is None else left
        return min(max(self._bid.forecast.start_seconds * LATE_FACTOR, SHORTEST_START), left, LONGEST_START)


class Counted:
    """An exchange whose events are counted as they pass: each is about one token."""

    def __init__(self, exchange: PeerExchange, away: Away) -> None:
        self._exchange = exchange
        self._away = away

    async def start(self) -> int:
        """See ports.Exchange."""
        return await self._exchange.start()

    async def read(self) -> bytes:
        """See ports.Exchange."""
        raw = await self._exchange.read()
        self._away.events += raw.count(STEPS_PART)
        return raw

    def cancel(self) -> None:
        """See ports.Exchange."""
        self._exchange.cancel()

    def hang_up(self) -> None:
        """See ports.BoughtExchange."""
        self._exchange.hang_up()

    async def owed(self) -> TokenCount | None:
        """See ports.BoughtExchange."""
        return await self._exchange.owed()
