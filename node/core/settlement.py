"""Which lanes to settle now (protocol rule 8): a claim costs gas in native coin and brings earnings in the currency.

Pure: the gas price, the exchange rate and the time are arguments. Signs nothing, sends nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from node.core.errors import Broken
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Claim, Receipt, Voucher
from node.core.types import Address, Amount, LaneKey, Micros, Seconds, Signature

BATCH_ROWS = 50
"""The escrow takes at most this many rows in one call."""
DAY = Seconds(86_400)
WEI = 10**18
"""Wei in one native coin."""


class Trigger(Enum):
    """Why lanes are looked at."""

    SCHEDULED = "scheduled"
    CATCH_UP = "catch_up"
    """The head is fresh again after an outage: thaws may have run unseen."""
    FORCED = "forced"
    """The owner's own wish (demo, shutdown): gas is no object."""


@dataclass(frozen=True, slots=True)
class GasTerms:
    """What settling costs. `currency_per_native` = base units of the currency that one native coin is worth."""

    max_fee_per_gas: int
    currency_per_native: Amount
    gas_per_row: int = 40_000
    """Upper estimate of a row's share of a batch, first claim of a lane included."""
    threshold: Amount = Amount(0)
    """Never settle less than this on schedule, however cheap gas is."""

    @property
    def share(self) -> Amount:
        """One row's gas in base units of the currency, rounded up."""
        return Amount(-(-self.gas_per_row * self.max_fee_per_gas * self.currency_per_native // WEI))


@dataclass(frozen=True, slots=True)
class DueLane:
    """A lane and generation with something unclaimed.

    `charged`, `seq`, `count` are those of its last receipt; `claimed` = max(the escrow's total at the head, the
    cumulative of its newest claim in a transaction still open); `since` = when its oldest unclaimed receipt was made;
    `thaw_end` = 0 unless its pair thaws; `voucher` = the best of this generation, `cap` = its signer's.
    """

    key: LaneKey
    charged: Amount
    claimed: Amount
    seq: Micros
    count: int
    since: Seconds
    thaw_end: Seconds
    cap: Amount
    voucher: Voucher
    voucher_signature: Signature

    @property
    def unclaimed(self) -> Amount:
        """What a claim would bring, cover permitting."""
        return Amount(self.charged - self.claimed)


@dataclass(frozen=True, slots=True)
class SignedClaim:
    """A claim row ready for the escrow; `peaks` = the receipts tree it commits, from which the next claim goes on."""

    claim: Claim
    signature: Signature
    voucher: Voucher
    voucher_signature: Signature
    peaks: Peaks


@dataclass(frozen=True, slots=True)
class Tree:
    """A lane's receipts tree with the totals of its last leaf; `cumulative` None: no leaf yet, so no base known."""

    peaks: Peaks = Peaks()
    cumulative: Amount | None = None
    seq: Micros = Micros(0)

    @staticmethod
    def of(last: SignedClaim | None) -> "Tree":
        """The tree that the last claim committed."""
        return Tree(last.peaks, last.claim.cumulative, last.claim.seq) if last else Tree()

    def grown(self, receipts: Sequence[Receipt]) -> "Tree":
        """With the receipts that follow. Raises Broken where they do not add up (INV12)."""
        peaks, cumulative, seq = self.peaks, self.cumulative, self.seq
        for receipt in receipts:
            if receipt.seq <= seq or cumulative not in (None, receipt.cumulative - receipt.charge):
                raise Broken("the receipts of a lane do not add up", seq=receipt.seq)
            peaks = peaks.append(leaf_hash(receipt.struct_hash()))
            cumulative, seq = receipt.cumulative, receipt.seq
        return Tree(peaks, cumulative, seq)


def is_due(lane: DueLane, gas: GasTerms, now: Seconds, trigger: Trigger) -> bool:
    """Rule 8 for one lane."""
    if lane.unclaimed <= 0 or lane.charged > min(lane.cap, lane.voucher.ceiling):  # the escrow would pay nothing
        return False
    if trigger is Trigger.FORCED:
        return True
    if lane.unclaimed < gas.share:
        return False
    if trigger is Trigger.CATCH_UP or lane.unclaimed >= max(50 * gas.share, gas.threshold):
        return True
    is_urgent = lane.thaw_end > 0 or now - lane.since >= DAY
    return is_urgent and lane.unclaimed >= 2 * gas.share


def plan(lanes: Sequence[DueLane], gas: GasTerms, now: Seconds, trigger: Trigger) -> tuple[tuple[DueLane, ...], ...]:
    """Batches of due lanes, the soonest thaw first, then the largest sum; rows of one payee stand together."""
    due = sorted((lane for lane in lanes if is_due(lane, gas, now, trigger)), key=_urgency)
    by_payee: dict[Address, list[DueLane]] = {}
    for lane in due:
        by_payee.setdefault(lane.key.payee, []).append(lane)
    return tuple(
        tuple(rows[start : start + BATCH_ROWS])
        for rows in by_payee.values()
        for start in range(0, len(rows), BATCH_ROWS)
    )


def _urgency(lane: DueLane) -> tuple[bool, Seconds, Amount]:
    return (lane.thaw_end == 0, lane.thaw_end, Amount(-lane.unclaimed))


def deadline_of(rows: Sequence[DueLane]) -> Seconds:
    """When the first thaw of a batch ends; 0 without one. The sender raises fees towards it."""
    return min((lane.thaw_end for lane in rows if lane.thaw_end), default=Seconds(0))
