"""`POST /v1/lanes/resync`: a lane's owner reopens it after a new generation. Parses and answers, decides nothing."""

from typing import Any

import orjson
from fastapi import APIRouter, Request

from node.core.account import Admission, LaneState
from node.core.errors import BadRequest, BadVoucher, TooLarge
from node.core.messages import Receipt, Terms, Voucher
from node.core.recovery import LaneNote
from node.core.types import Bytes32, LaneKey, Seconds, Signature
from node.core.wire import address_of, bytes_of, message_from_json, signature_of, uint_of
from node.ports.ledger import Stored
from node.services.resync import Resync, ResyncAsk
from node.services.x402 import SignedReceipt

MAX_BYTES = 1 << 20
MAX_RECEIPTS = 200
"""Receipts in one call: 2.5 KB each."""


def lane_routes(resync: Resync) -> APIRouter:
    """What reopens a lane."""
    router = APIRouter()

    @router.post("/v1/lanes/resync")
    async def reopen(request: Request) -> dict[str, Any]:
        lane = await resync.reopen(parse_ask(await _body_of(request)))
        return shown_lane(lane)

    return router


async def _body_of(request: Request) -> bytes:
    """By counted bytes (threat H4)."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise TooLarge(f"a resync may have {MAX_BYTES} bytes", limit=MAX_BYTES)
    return body


def parse_ask(body: bytes) -> ResyncAsk:
    """Raises BadRequest or BadVoucher naming the member."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the body is not valid JSON") from exc
    if not isinstance(document, dict) or not isinstance(document.get("receipts", []), list):
        raise BadRequest("the body must be an object with note, signature, lastReceipt and receipts")
    rows = document.get("receipts", [])
    if len(rows) > MAX_RECEIPTS:
        raise BadRequest(f"at most {MAX_RECEIPTS} receipts in one call", param="receipts")
    note, last = note_of(document.get("note")), document.get("lastReceipt")
    return ResyncAsk(
        note=note,
        signature=signature_of(document.get("signature")),
        last=None if last is None else _receipt_of(last),
        found=[_stored_of(row, note) for row in rows],
        has_more=document.get("hasMore") is True,
    )


def note_of(document: object) -> LaneNote:
    """Raises BadVoucher."""
    if not isinstance(document, dict):
        raise BadVoucher("note must be an object", field="note")
    return LaneNote(
        payer=address_of(document.get("payer"), "payer"),
        payee=address_of(document.get("payee"), "payee"),
        lane=address_of(document.get("lane"), "lane"),
        generation=uint_of(document.get("generation"), 32, "generation"),
        last_receipt=Bytes32(bytes_of(document.get("lastReceipt"), 32, "lastReceipt")),
    )


def _receipt_of(document: object) -> SignedReceipt:
    if not isinstance(document, dict):
        raise BadVoucher("a receipt must be an object", field="lastReceipt")
    receipt = message_from_json(Receipt, document.get("receipt"))
    return SignedReceipt(receipt, signature_of(document.get("signature")))


def _stored_of(row: object, note: LaneNote) -> Stored:
    if not isinstance(row, dict):
        raise BadVoucher("a receipt must be an object", field="receipts")
    shown = _receipt_of(row)
    voucher = message_from_json(Voucher, row.get("voucher"))
    admission = Admission(
        key=LaneKey(note.payer, note.payee, note.lane, voucher.generation),
        voucher=voucher,
        signature=Signature(signature_of(row.get("voucherSignature"))),
        terms=message_from_json(Terms, row.get("terms")),
        salt=Bytes32(bytes_of(row.get("salt"), 32, "salt")),
        received_at=Seconds(shown.receipt.seq // 1_000_000),
        lease=0,
    )
    return Stored(admission, shown.receipt, shown.signature)


def shown_lane(lane: LaneState) -> dict[str, Any]:
    """Where the lane stands now."""
    return {
        "generation": lane.key.generation,
        "base": str(lane.base),
        "charged": str(lane.charged),
        "isFrozen": lane.is_frozen,
    }
