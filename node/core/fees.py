"""What a transaction offers for gas (EIP-1559, wei per gas): a first offer, and a better one when it is stuck. Pure."""

from dataclasses import dataclass

from node.core.transactions import Attempt, Fees
from node.core.types import Seconds

GWEI = 10**9
BUMP_NUMERATOR, BUMP_DENOMINATOR = 9, 8
"""12.5 % more: what every client's mempool takes for a replacement (most ask for 10 %)."""
BASE_FEE_ROOM = 2
"""A base fee may rise by 12.5 % a block: twice today's is good for six full blocks."""


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """Bounds, so that neither a lying endpoint nor a fee spike spends without limit (threat I3)."""

    cap: int = 200 * GWEI
    urgent_factor: int = 10
    """How many times the cap may be paid while a thaw runs out: then the claim is lost for good."""
    tip_min: int = 1
    tip_max: int = 50 * GWEI
    patience_seconds: Seconds = Seconds(60)
    """How long an unmined transaction keeps its offer."""
    urgent_seconds: Seconds = Seconds(6 * 3600)
    """From this long before a deadline on the urgent cap holds."""


@dataclass(frozen=True, slots=True)
class FeeOffer:
    """`max_fee` includes the tip."""

    max_fee: int
    tip: int


def cap_of(policy: FeePolicy, deadline: Seconds, now: Seconds) -> int:
    """The cap that holds now for a transaction with that deadline (0: none)."""
    is_urgent = deadline > 0 and deadline - now <= policy.urgent_seconds
    return policy.cap * policy.urgent_factor if is_urgent else policy.cap


def first_offer(fees: Fees, policy: FeePolicy, cap: int) -> FeeOffer:
    """Room for the base fee to rise, a bounded tip, never above the cap (a capped one waits in the mempool)."""
    tip = min(max(fees.tip, policy.tip_min), policy.tip_max)
    max_fee = min(BASE_FEE_ROOM * fees.base_fee + tip, cap)
    return FeeOffer(max_fee, min(tip, max_fee))


def better_offer(last: Attempt, fees: Fees, policy: FeePolicy, cap: int) -> FeeOffer | None:
    """A replacement that mempools accept: both fees up by at least 12.5 %. None when that would break the cap."""
    floor, tip_floor = _bumped(last.max_fee), _bumped(last.tip)
    if floor > cap:
        return None
    wanted = first_offer(fees, policy, cap)
    max_fee = max(floor, wanted.max_fee)
    return FeeOffer(max_fee, min(max(tip_floor, wanted.tip), max_fee))


def _bumped(fee: int) -> int:
    return max(-(-fee * BUMP_NUMERATOR // BUMP_DENOMINATOR), fee + 1)
