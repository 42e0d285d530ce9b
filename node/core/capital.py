"""Where a node's capital should stand: how much to allot to which peer, from what was spent there lately. Pure.

Allotted money is bound for a thaw window, so it goes where spending is expected, a while ahead, and in one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.core.types import Address, Amount


@dataclass(frozen=True, slots=True)
class Spending:
    """One peer: what is left of the allotment, and what was spent there per second lately."""

    payee: Address
    left: Amount
    rate: float


@dataclass(frozen=True, slots=True)
class CapitalRules:
    """The owner's wishes. `floor` opens a pair with a peer that was never bought from; 0 = never allot by itself."""

    floor: Amount
    horizon_seconds: float = 3_600.0
    refill_below: float = 0.5
    """Share of the wanted cover below which a pair is topped up: larger, rarer transactions."""
    largest_batch: int = 50


def plan_top_ups(peers: Sequence[Spending], free: Amount, rules: CapitalRules) -> list[tuple[Address, Amount]]:
    """(payee, amount) of one `allot`, the busiest first, never more than `free` in all."""
    if not rules.floor:
        return []
    wanted: list[tuple[Address, Amount]] = []
    left = int(free)
    for peer in sorted(peers, key=lambda one: (-one.rate, one.payee)):
        target = max(rules.floor, int(peer.rate * rules.horizon_seconds))
        amount = target - peer.left
        if peer.left >= target * rules.refill_below or len(wanted) >= rules.largest_batch:
            continue
        amount = min(amount, left)
        if amount > 0:
            wanted.append((peer.payee, Amount(amount)))
            left -= amount
    return wanted
