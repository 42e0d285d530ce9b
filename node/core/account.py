"""The account of a lane: what may be admitted, what a closed request costs, what the totals are afterwards.

Pure transitions over (lane, pair). Whoever stores them applies a transition under the lane's and the pair's row lock
and makes it durable before acting on it. Inequalities only: messages may arrive in any order (protocol rule 2).
Keeps INV3 and INV12; the pair inequality is the off-chain side of INV2.
"""

from node.core.errors import Broken, CeilingTooLow, CoverTooLow, LaneAhead, LaneFrozen
from node.core.messages import Receipt, Terms, Voucher
from node.core.records import record
from node.core.types import U128_MAX, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature, Status, TokenCount

SEQ_AHEAD = Micros(30_000_000)
"""A lane whose last receipt is dated this far ahead of every clock is not served: its claim would have to wait."""


@record
class LaneState:
    """Running totals of one lane and generation, amounts in base units.

    `charged` is the cumulative of the last receipt (`base` before the first). `claimed` is the escrow's lifetime total.
    """

    key: LaneKey
    base: Amount = Amount(0)
    charged: Amount = Amount(0)
    reserved: Amount = Amount(0)
    best: Amount = Amount(0)
    claimed: Amount = Amount(0)
    cap: Amount = Amount(U128_MAX)
    seq: Micros = Micros(0)
    count: int = 0
    is_frozen: bool = False

    @property
    def committed(self) -> Amount:
        """This lane's share of the pair's cover: what the chain or we have charged, and what is in flight."""
        return max(self.charged, self.claimed) + self.reserved  # type: ignore[return-value] # see `_moved`


@record
class PairState:
    """`cover` = min over blocks finalised..head of allotted - thawing; `committed` = sum of the lanes' shares."""

    payer: Address
    payee: Address
    cover: Amount = Amount(0)
    committed: Amount = Amount(0)

    @property
    def cover_left(self) -> Amount:
        """What may still be admitted in all lanes together."""
        return self.cover - self.committed  # type: ignore[return-value] # see `_moved`


@record
class Admission:
    """A checked wish to serve one request: stored whole, so that an auditor can re-check it later.

    `received_at`: by this machine's clock or the chain's, whichever is later.
    """

    key: LaneKey
    voucher: Voucher
    signature: Signature
    terms: Terms
    salt: Bytes32
    received_at: Seconds
    lease: int

    @property
    def request_id(self) -> Bytes32:
        """The client's id of the request; unique within (payer, lane)."""
        return self.terms.request_id


@record
class Outcome:
    """How a served request ended; `charge` <= the reservation."""

    status: Status
    tokens: TokenCount
    charge: Amount
    response_hash: Bytes32
    answer_hash: Bytes32


def admit(lane: LaneState, pair: PairState, admission: Admission) -> tuple[LaneState, PairState]:
    """Reserve `maxPrice` in the lane and the pair (rule 2). Raises LaneFrozen, LaneAhead, CeilingTooLow, CoverTooLow.

    The best ceiling never falls, whatever order vouchers arrive in; that of a refused voucher is not kept.
    """
    if lane.is_frozen:
        raise LaneFrozen("this lane must be resynchronised first: send your last receipt", charged=lane.charged)
    if lane.seq > admission.received_at * 1_000_000 + SEQ_AHEAD:
        raise LaneAhead(
            "this lane's last receipt is dated ahead of the chain's clock: its payee must bump", seq=lane.seq
        )
    best = max(lane.best, admission.voucher.ceiling)
    wanted = admission.terms.max_price
    room = min(best, lane.cap) - lane.charged - lane.reserved
    if room < wanted:
        raise CeilingTooLow(
            "the signed ceiling is too low for this request",
            shortfall=wanted - room,
            best_ceiling=best,
            charged=lane.charged,
            reserved=lane.reserved,
            cap=lane.cap,
        )
    _check_cover(pair, wanted)
    after = _moved(lane, lane.charged, lane.reserved + wanted, best)
    return after, _committed(pair, wanted)


def _check_cover(pair: PairState, wanted: Amount) -> None:
    if pair.cover_left < wanted:
        raise CoverTooLow(
            "the escrow's allotment for this pair is used up: allot more",
            shortfall=wanted - pair.cover_left,
            cover=pair.cover,
            cover_left=max(pair.cover_left, 0),
        )


def _committed(pair: PairState, more: int) -> PairState:
    """The pair's total follows what its lane holds."""
    return PairState(pair.payer, pair.payee, pair.cover, pair.committed + more)  # type: ignore[arg-type] # see `_moved`


def _moved(lane: LaneState, charged: int, reserved: int, best: int, seq: int = 0, count: int = 0) -> LaneState:
    """The lane with new totals (`seq` and `count` only when given).

    By hand, and without naming the NewTypes again: `replace` and their calls would be half the cost of a transition,
    and this is the part of a payment that runs under the lane's lock.
    """
    return LaneState(
        lane.key,
        lane.base,
        charged,  # type: ignore[arg-type]
        reserved,  # type: ignore[arg-type]
        best,  # type: ignore[arg-type]
        lane.claimed,
        lane.cap,
        seq or lane.seq,  # type: ignore[arg-type]
        count or lane.count,
        lane.is_frozen,
    )


def next_seq(lane: LaneState, now: Micros) -> Micros:
    """Strictly increasing within a lane and generation, even when the clock steps back."""
    return max(lane.seq + 1, now)  # type: ignore[return-value] # see `_moved`


def close(
    lane: LaneState,
    pair: PairState,
    admission: Admission,
    outcome: Outcome,
    now: Micros,
) -> tuple[LaneState, PairState, Receipt]:
    """Turn a reservation into a charge and its receipt (rule 4); the rest of the reservation is released.

    Raises Broken when the outcome would charge more than was reserved: nothing is written then.
    """
    reserved = admission.terms.max_price
    if not 0 <= outcome.charge <= reserved:
        raise Broken("charge above its reservation", charge=outcome.charge, reserved=reserved)
    if lane.reserved < reserved:
        raise Broken("the lane holds less than this reservation", lane_reserved=lane.reserved, reserved=reserved)
    charged = lane.charged + outcome.charge
    after = _moved(lane, charged, lane.reserved - reserved, lane.best, next_seq(lane, now), lane.count + 1)
    return after, _committed(pair, after.committed - lane.committed), _receipt(after, admission, outcome)


def _receipt(lane: LaneState, admission: Admission, outcome: Outcome) -> Receipt:
    terms = admission.terms
    return Receipt(
        payer=lane.key.payer,
        payee=lane.key.payee,
        lane=lane.key.lane,
        generation=lane.key.generation,
        seq=lane.seq,
        request_id=terms.request_id,
        context=admission.voucher.context,
        request_hash=terms.request_hash,
        response_hash=outcome.response_hash,
        answer_hash=outcome.answer_hash,
        prompt_tokens=outcome.tokens.prompt,
        completion_tokens=outcome.tokens.completion,
        status=outcome.status,
        charge=outcome.charge,
        cumulative=lane.charged,
    )
