"""The payer's books as pure transitions: what may be signed, what a receipt proves, when to stop paying a payee.

One purse is one lane and generation. `ceiling - verified <= E` holds after every transition here (protocol rule 1), so
it holds after every crash too if the new purse is durable before its ceiling is signed. Nothing here signs or stores.
"""

from dataclasses import dataclass, replace
from enum import Enum

from node.core.errors import Refused
from node.core.messages import Receipt, Terms
from node.core.types import Amount, Bytes32, LaneKey, Seconds

DROP_AFTER = Seconds(120)
"""An in-flight entry without a stream is dropped this long after its `startBy` (rule 1)."""
GAP_PATIENCE = Seconds(600)
"""A total above what receipts explain stops the payer after this long (rule 1)."""


class ExposureReached(Refused):
    """What this payee could take without having shown a receipt would exceed the owner's exposure setting."""


class ExposureBusy(ExposureReached):
    """The same, but requests in flight hold part of the exposure: it fits when they are done."""

    retryable = True


class BudgetReached(Refused):
    """The owner's daily or per-request budget does not allow this request."""


class PayeeStopped(Refused):
    """This payee broke a rule before; nothing more is signed to it. `scripts/gateway.py findings` shows why."""


class PurchaseState(Enum):
    """What is known about one request that was (or will be) sent."""

    OPEN = "open"
    """In flight, or its outcome is unknown: counts against the exposure with its whole maximum."""
    DONE = "done"
    """A receipt for it is held."""
    REFUSED = "refused"
    """The payee said that it serves nothing for it, and showed no receipt."""
    DROPPED = "dropped"
    """`startBy` + 120 s passed without a receipt; a late one is still taken."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The owner's settings, base units. `exposure` is E of the protocol, per lane."""

    exposure: Amount
    per_request: Amount
    daily: Amount


@dataclass(frozen=True, slots=True)
class Purse:
    """Running totals of one lane and generation, as the payer can prove them.

    base       where this generation started (0, or what a resync proved)
    ceiling    highest amount ever signed
    heard      highest total the payee or the chain has shown
    explained  base + charges of receipts for requests of ours
    verified   base + the part of those charges that we recounted ourselves
    in_flight  sum of the maxima of open requests
    """

    key: LaneKey
    base: Amount = Amount(0)
    ceiling: Amount = Amount(0)
    heard: Amount = Amount(0)
    explained: Amount = Amount(0)
    verified: Amount = Amount(0)
    in_flight: Amount = Amount(0)
    gap_since: Seconds | None = None
    stopped: str = ""

    @property
    def exposed(self) -> Amount:
        """What this payee could take at most beyond what was verified."""
        return Amount(self.ceiling - self.verified)

    @property
    def gap(self) -> Amount:
        """How much of the highest total shown no receipt of ours explains yet."""
        return Amount(self.heard - self.explained)


@dataclass(frozen=True, slots=True)
class Purchase:
    """One request, with everything needed to send it again unchanged and to check what comes back."""

    key: LaneKey
    terms: Terms
    salt: Bytes32
    prompt_tokens: int
    day: int
    state: PurchaseState = PurchaseState.OPEN

    @property
    def request_id(self) -> Bytes32:
        """Unique within (payer, lane)."""
        return self.terms.request_id

    @property
    def max_price(self) -> Amount:
        """The most it can cost."""
        return self.terms.max_price


@dataclass(frozen=True, slots=True)
class Spend:
    """What one day (UTC, days since the epoch) has cost, open requests with their maxima."""

    day: int
    amount: Amount = Amount(0)


def begin(purse: Purse, spend: Spend, purchase: Purchase, limits: Limits) -> tuple[Purse, Spend]:
    """Rule 1: the purse after which its ceiling may be signed for this request. Make it durable, then sign, then send.

    Raises PayeeStopped, BudgetReached, ExposureReached or ExposureBusy; nothing has changed then.
    """
    check_not_stopped(purse)
    price = purchase.max_price
    if price > limits.per_request:
        raise BudgetReached(
            "the request may cost more than the per-request budget", needed=price, budget=limits.per_request
        )
    if spend.amount + price > limits.daily:
        raise BudgetReached(
            "the daily budget does not allow it", needed=price, left=max(limits.daily - spend.amount, 0)
        )
    raised = _raised(purse, Amount(purse.heard + purse.in_flight + price), limits.exposure)
    return (
        replace(raised, in_flight=Amount(purse.in_flight + price)),
        replace(spend, amount=Amount(spend.amount + price)),
    )


def check_not_stopped(purse: Purse) -> None:
    """Raises PayeeStopped."""
    if purse.stopped:
        raise PayeeStopped(f"nothing more is signed to this payee: {purse.stopped}", reason=purse.stopped)


def raise_ceiling(purse: Purse, wanted: Amount, limits: Limits) -> Purse:
    """Sign up to `wanted` (a payee's corrective 402 asks for it), if the exposure allows. Raises ExposureReached."""
    check_not_stopped(purse)
    return _raised(purse, wanted, limits.exposure)


def _raised(purse: Purse, need: Amount, exposure: Amount) -> Purse:
    ceiling = Amount(max(purse.ceiling, need))
    if ceiling - purse.verified > exposure:
        kind = ExposureBusy if purse.in_flight else ExposureReached
        raise kind(
            "the exposure setting does not allow to sign this much to one payee before receipts are checked",
            exposure=exposure,
            needed=ceiling - purse.verified,
            in_flight=purse.in_flight,
            unexplained=purse.gap,
        )
    return replace(purse, ceiling=ceiling)


def book(
    purse: Purse, spend: Spend, purchase: Purchase, receipt: Receipt, credit: Amount
) -> tuple[Purse, Spend, Purchase]:
    """A receipt of the operator's for a request of ours: `credit` <= charge is the part that was recounted.

    The caller has checked the receipt (verify.check_receipt) and that none is held for this request yet.
    """
    was_open = purchase.state is PurchaseState.OPEN
    held = purchase.max_price if was_open else 0
    after = replace(
        purse,
        heard=Amount(max(purse.heard, receipt.cumulative)),
        explained=Amount(purse.explained + receipt.charge),
        verified=Amount(purse.verified + credit),
        in_flight=Amount(purse.in_flight - held),
    )
    counted = 0 if purchase.state is PurchaseState.REFUSED else purchase.max_price
    spent = replace(spend, amount=Amount(spend.amount - counted + receipt.charge))
    return after, spent, replace(purchase, state=PurchaseState.DONE)


def credit_more(purse: Purse, gained: Amount) -> Purse:
    """A charge that was explained but not verified has been recounted after all."""
    return replace(purse, verified=Amount(purse.verified + gained))


def refuse(purse: Purse, spend: Spend, purchase: Purchase) -> tuple[Purse, Spend, Purchase]:
    """The payee refused before serving. The ceiling stays as signed, so a lie about it changes no bound."""
    if purchase.state is not PurchaseState.OPEN:
        return purse, spend, purchase
    price = purchase.max_price
    return (
        replace(purse, in_flight=Amount(purse.in_flight - price)),
        replace(spend, amount=Amount(spend.amount - price)),
        replace(purchase, state=PurchaseState.REFUSED),
    )


def drop(purse: Purse, purchase: Purchase, now: Seconds) -> tuple[Purse, Purchase]:
    """No receipt and no stream long after `startBy`: no longer in flight, but still counted as spent."""
    if purchase.state is not PurchaseState.OPEN or now < purchase.terms.start_by + DROP_AFTER:
        return purse, purchase
    left = Amount(purse.in_flight - purchase.max_price)
    return replace(purse, in_flight=left), replace(purchase, state=PurchaseState.DROPPED)


def hear(purse: Purse, total: Amount, now: Seconds) -> Purse:
    """A total shown by a receipt, a 402 or a settlement; above what is explained it starts (or keeps) a gap."""
    after = replace(purse, heard=Amount(max(purse.heard, total)))
    if after.gap <= 0:
        return replace(after, gap_since=None)
    return replace(after, gap_since=now if purse.gap_since is None else purse.gap_since)


def is_gap_overdue(purse: Purse, now: Seconds) -> bool:
    """Whether the payer must stop and thaw (rule 1)."""
    return purse.gap > 0 and purse.gap_since is not None and now >= purse.gap_since + GAP_PATIENCE


def stop(purse: Purse, reason: str) -> Purse:
    """Sign nothing more to this payee (rule 5). The first reason is kept: it is the one with the evidence."""
    return replace(purse, stopped=purse.stopped or reason)


def adopt(purse: Purse, ceiling: Amount, base: Amount) -> Purse:
    """Start from what the other side proved with *our* signature (rule 6, after a lost database).

    `ceiling` stands in a voucher of our lane, higher than this purse ever signed: proof that the wallet forgot. `base`
    <= ceiling stands in a receipt of the operator's: adopting it gives the payee nothing that it could not claim
    already. A purse with history never adopts: it would forget charges.
    """
    if purse.heard or purse.explained or ceiling <= purse.ceiling or not 0 <= base <= ceiling:
        raise Refused("only a new purse adopts a starting receipt, and not above a ceiling that we signed", base=base)
    return replace(purse, base=base, ceiling=ceiling, heard=base, explained=base, verified=base)


def credit_later(purse: Purse, charge: Amount, credit: Amount) -> Purse:
    """A late receipt of an earlier generation counts in the lane's later purse too: totals are lifetime totals."""
    return replace(
        purse,
        base=Amount(purse.base + charge),
        explained=Amount(purse.explained + charge),
        verified=Amount(purse.verified + credit),
    )


def next_generation(purse: Purse, generation: int) -> Purse:
    """The same lane under the payee's new operator key: lifetime totals go on, what is in flight stays behind."""
    key = replace(purse.key, generation=generation)
    base = purse.explained
    return replace(purse, key=key, base=base, heard=base, in_flight=Amount(0), gap_since=None)
