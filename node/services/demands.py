"""What a refused caller must be told to pay properly next time: the x402 demand, from offer, quote and books.

It shows the caller's own lane, and only to somebody who signed with its key. (Totals and receipts of any lane are
public evidence: `GET /v1/lanes`. But a bogus voucher must not make the node look them up, threat P15.)
"""

from node.core.errors import (
    CeilingTooLow,
    CoverTooLow,
    KeyNotHere,
    LaneFrozen,
    LedgerUnavailable,
    MissingPayment,
    PriceTooLow,
    Refused,
    StaleGeneration,
    StaleTerms,
    WrongPayee,
    WrongSignature,
    WrongTerms,
)
from node.core.messages import Receipt
from node.core.types import Amount, LaneKey, Micros, Signature
from node.services.caller import Caller
from node.services.parts import Parts
from node.services.quoting import quote_unpaid
from node.services.request import Request, parse_request
from node.services.signing import sign_as
from node.services.x402 import Demand, LaneReport, SignedReceipt

PAYMENT_REFUSALS = (
    MissingPayment,
    WrongSignature,
    WrongPayee,
    WrongTerms,
    StaleTerms,
    StaleGeneration,
    PriceTooLow,
    CeilingTooLow,
    CoverTooLow,
    LaneFrozen,
)
"""Refusals that a better voucher cures: they carry the x402 demand."""


async def build_demand(parts: Parts, request: Request | None, key: LaneKey | None) -> Demand:
    """`key` only for a voucher whose signature was recovered."""
    offer = parts.offers.current()
    view = parts.chain.payee_view
    return Demand(
        amount=await _amount(parts, request),
        offer_hash=offer.struct_hash(),
        generation=view.generation,
        operator=parts.signer.address,
        lane=await _report(parts, key) if key else LaneReport(),
        max_timeout_seconds=3_600,
    )


async def request_of(path: str, caller: Caller) -> Request | None:
    """The body of a request that was refused by its header, so that its price can be told; None when it has none."""
    try:
        return parse_request(path, await caller.read_body())
    except Refused:
        return None


async def _amount(parts: Parts, request: Request | None) -> Amount:
    if request is None:
        return Amount(0)
    try:
        return (await quote_unpaid(request, parts.offers.current(), parts.counters)).price
    except Refused:
        return Amount(0)


def _signed(parts: Parts, receipt: Receipt, signature: Signature | None) -> SignedReceipt | None:
    """None for a receipt whose signature is lost and whose operator key is not here: it would prove nothing."""
    digest = parts.market.domain.digest(receipt.struct_hash())
    operator = parts.chain.operator_of(receipt.generation)
    try:
        return SignedReceipt(receipt, signature or sign_as(parts.signer, operator, receipt.generation, digest))
    except KeyNotHere:
        return None


async def _report(parts: Parts, key: LaneKey) -> LaneReport:
    try:
        lane = await parts.ledger.load_lane(key)
        pair = await parts.ledger.load_pair(key.payer, key.payee)
        last = await parts.ledger.load_receipts(key, Micros(lane.seq - 1), 1) if lane and lane.seq else ()
    except LedgerUnavailable:
        return LaneReport()
    receipt = last[0].receipt if last else None
    signed = None
    if receipt is not None:
        signed = _signed(parts, receipt, last[0].signature)
    return LaneReport(
        cover_left=Amount(max(pair.cover_left, 0)) if pair else Amount(0),
        charged=lane.charged if lane else Amount(0),
        reserved=lane.reserved if lane else Amount(0),
        best_ceiling=lane.best if lane else Amount(0),
        last=signed,
    )
