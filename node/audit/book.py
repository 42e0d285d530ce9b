"""The escrow's books: every balance, key and settlement, as the events rebuild them. Amounts are base units.

State only; `fold_escrow` applies the events, `fold_settlement` the settlements.
"""

from dataclasses import dataclass, field

from node.audit.crypto import ZERO20, hexed
from node.audit.events import Event
from node.audit.findings import Report

PairId = tuple[bytes, bytes]
LaneId = tuple[bytes, bytes, bytes]
GenerationId = tuple[bytes, bytes, bytes, int]


@dataclass(slots=True)
class Pair:
    """What a payer has locked for a payee; `allotted` and `claimed` are lifetime totals."""

    allotted: int = 0
    claimed: int = 0
    thawing: int = 0
    thaw_end: int = 0


@dataclass(slots=True)
class Lane:
    """What was claimed through one signer of a pair, and the generation of the last claim."""

    claimed: int = 0
    generation: int = 0


@dataclass(slots=True)
class Signer:
    """A further signer of a payer."""

    payer: bytes
    cap: int
    thaw_end: int = 0
    is_revoked: bool = False


@dataclass(slots=True)
class Payee:
    """A payee's keys by generation, its payout and its earnings by bucket of the hold time."""

    generation: int = 0
    operators: dict[int, bytes] = field(default_factory=dict)
    closed_at: dict[int, int] = field(default_factory=dict)
    payout: bytes = ZERO20
    next_payout: bytes = ZERO20
    payout_at: int = 0
    earned: dict[int, int] = field(default_factory=dict)
    slashed: int = 0
    collected: int = 0

    @property
    def operator(self) -> bytes:
        """The operator key now; zeros before the first."""
        return self.operators.get(self.generation, ZERO20)

    @property
    def unpaid(self) -> int:
        """Earnings that the escrow still holds."""
        return sum(self.earned.values()) - self.collected - self.slashed

    def payout_in_force(self, payee: bytes, at: int) -> bytes:
        """Where earnings go at a time."""
        payout = self.next_payout if self.payout_at and at >= self.payout_at else self.payout
        return payee if payout == ZERO20 else payout


@dataclass(frozen=True, slots=True)
class Settlement:
    """One `Settled` event."""

    payer: bytes
    payee: bytes
    lane: bytes
    generation: int
    seq: int
    cumulative: int
    ceiling: int
    paid: int
    claimed_after: int
    count: int
    root: bytes
    claimed_before: int
    event: Event

    @property
    def generation_id(self) -> GenerationId:
        """The lane and generation whose receipts this settles."""
        return (self.payer, self.payee, self.lane, self.generation)


@dataclass(frozen=True, slots=True)
class Windows:
    """The escrow's time windows in seconds, as its views give them."""

    thaw: int
    hold: int


@dataclass(slots=True)
class Book:
    """All of the escrow's state, and the flows in and out of it."""

    windows: Windows
    report: Report
    free: dict[bytes, int] = field(default_factory=dict)
    pairs: dict[PairId, Pair] = field(default_factory=dict)
    lanes: dict[LaneId, Lane] = field(default_factory=dict)
    signers: dict[bytes, Signer] = field(default_factory=dict)
    payees: dict[bytes, Payee] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    tops: dict[GenerationId, int] = field(default_factory=dict)
    """A lane's claimed total after the last claim of a generation: what a challenge is measured against."""
    returned: dict[GenerationId, int] = field(default_factory=dict)
    burnt: int = 0
    slashed_stake: int = 0

    def pair(self, payer: bytes, payee: bytes) -> Pair:
        """The pair, made when it is new."""
        return self.pairs.setdefault((payer, payee), Pair())

    def payee(self, payee: bytes) -> Payee:
        """The payee, made when it is new."""
        return self.payees.setdefault(payee, Payee())

    def credit(self, payer: bytes, amount: int) -> None:
        """Add to (or, negative, take from) a payer's free balance."""
        self.free[payer] = self.free.get(payer, 0) + amount

    def expect(self, event: Event, what: str, claimed: int | bytes, rebuilt: int | bytes) -> None:
        """AUD-003 unless an event's own word equals what the earlier events give."""
        if claimed != rebuilt:
            self.report.add(
                "AUD-003",
                f"{event.name}: {what} is {_plain(claimed)}, the events before it give {_plain(rebuilt)}",
                **event.evidence,
            )


def _plain(value: int | bytes) -> str:
    return hexed(value) if isinstance(value, bytes) else str(value)
