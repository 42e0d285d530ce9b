"""What this node has learnt of its peers by dealing with them: kept and broken promises, and what is there now."""

from dataclasses import dataclass, field, replace

from node.core.routing.trust import (
    NEWCOMER,
    PeerRecord,
    corrected_forecast,
    next_record_after_answer,
    next_record_after_failure,
    record_with_pending,
)
from node.core.routing.types import Bid
from node.core.types import Address
from node.services.offload import Away


@dataclass(slots=True)
class PeerBook:
    """What this node has learnt of its peers by dealing with them."""

    records: dict[Address, PeerRecord] = field(default_factory=dict)
    away: dict[Address, list[Away]] = field(default_factory=dict)

    def record(self, peer: Address) -> PeerRecord:
        """A newcomer's if there is none."""
        return self.records.get(peer, NEWCOMER)

    def send(self, away: Away) -> None:
        """A request is at a peer."""
        self.away.setdefault(away.peer, []).append(away)

    def back(self, away: Away) -> None:
        """It is not any more."""
        self.away[away.peer].remove(away)

    def sent_since(self, peer: Address, moment: float) -> int:
        """How many of those that are there now were sent after a moment."""
        return sum(away.sent_at >= moment for away in self.away.get(peer, ()))

    def answered(self, away: Away, tokens: int, now: float) -> None:
        """The promise as made is compared with the deed."""
        promised = away.promise.finish_seconds(tokens)
        self.records[away.peer] = next_record_after_answer(self.record(away.peer), promised, now - away.sent_at)

    def failed(self, peer: Address, now: float) -> None:
        """It broke its word or fell silent."""
        self.records[peer] = next_record_after_failure(self.record(peer), now)

    def corrected(self, bid: Bid, now: float) -> Bid:
        """A bid stretched by the bidder's record, requests under way included: what the policy compares."""
        pending = [away.so_far(now) for away in self.away.get(bid.provider, ())]
        record = record_with_pending(self.record(bid.provider), pending)
        return replace(bid, forecast=corrected_forecast(bid.forecast, record))
