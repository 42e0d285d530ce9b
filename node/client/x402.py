"""The payer's side of the x402 binding: payment headers out, receipts and refusals in. Shapes only."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.client.effects import Reply
from node.core.answers import SignedAnswer, answer_from_json
from node.core.assembly import json_object
from node.core.errors import BadVoucher
from node.core.hashing import Domain
from node.core.messages import Receipt, Terms, Voucher
from node.core.types import Address, Amount, Bytes32, Signature
from node.core.wire import address_of, hex_of, message_from_json, message_to_json, signature_of, uint_of

PAYMENT, RESPONSE = "PAYMENT-SIGNATURE", "payment-response"
RECEIPT_COMMENT = "wwwserve-receipt "
MAX_RETRY_AFTER = 5.0
"""Seconds; a payee cannot park our caller for longer."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt as it came, with the answer that came with it."""

    receipt: Receipt
    signature: Signature
    answer: SignedAnswer | None = None

    def to_json(self) -> dict[str, Any]:
        """As the payee writes it: evidence, and what reopens a frozen lane (rule 6)."""
        document = {"receipt": message_to_json(self.receipt), "signature": hex_of(self.signature)}
        return document if self.answer is None else {**document, "answer": self.answer.to_json()}


@dataclass(frozen=True, slots=True)
class Payment:
    """One voucher with what it signs."""

    voucher: Voucher
    signature: Signature
    terms: Terms
    salt: Bytes32

    def to_header(self, domain: Domain, last: SignedReceipt | None) -> str:
        """The value of PAYMENT-SIGNATURE. `last` shows a frozen lane where we stand."""
        payload: dict[str, Any] = {
            "voucher": message_to_json(self.voucher),
            "signature": hex_of(self.signature),
            "terms": message_to_json(self.terms),
            "salt": hex_of(self.salt),
        }
        if last is not None:
            payload["lastReceipt"] = last.to_json()
        network = f"eip155:{domain.chain_id}"
        document = {"x402Version": 2, "scheme": "ceiling", "network": network, "payload": payload}
        return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()


def parse_receipt(document: object) -> SignedReceipt:
    """From {"receipt", "signature"} and maybe "answer". Raises BadVoucher."""
    if not isinstance(document, dict):
        raise BadVoucher("a receipt must be a JSON object")
    answer = document.get("answer")
    return SignedReceipt(
        message_from_json(Receipt, document.get("receipt")),
        signature_of(document.get("signature")),
        None if answer is None else answer_from_json(answer),
    )


def parse_encoded_receipt(text: str) -> SignedReceipt:
    """From base64 of the same. Raises BadVoucher."""
    try:
        document = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadVoucher("a receipt must be base64 of JSON") from exc
    return parse_receipt(json_object(document))


def receipt_of(reply: Reply) -> SignedReceipt | None:
    """The receipt in a reply's header, or None. Raises BadVoucher for a malformed one."""
    text = reply.headers.get(RESPONSE)
    return None if text is None else parse_encoded_receipt(text)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node's own error: its code, and the body as it came. `code` is "" when no node of ours wrote it."""

    status: int
    code: str
    message: str
    payload: Mapping[str, Any]
    retry_after: float


def parse_refusal(reply: Reply) -> Refusal:
    """An error reply. Anything else than our nodes' shape (a proxy's page, say) gets the code ""."""
    payload = json_object(reply.body) or {}
    error = payload.get("error")
    if not isinstance(error, dict) or "retryable" not in payload:
        return Refusal(reply.status, "", f"HTTP {reply.status}", {}, _retry_after(reply))
    code, message = str(error.get("code") or "")[:64], str(error.get("message") or "")[:500]
    return Refusal(reply.status, code, message, payload, _retry_after(reply))


def _retry_after(reply: Reply) -> float:
    text = reply.headers.get("retry-after", "")
    return min(float(text), MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.5


@dataclass(frozen=True, slots=True)
class Demand:
    """What a 402 says of our lane. Only `last` is proved (by its signature); the numbers are the payee's word."""

    pay_to: Address
    network: str
    escrow: Address
    operator: Address
    generation: int
    charged: Amount
    reserved: Amount
    shortfall: Amount
    last: SignedReceipt | None


def parse_demand(payload: Mapping[str, Any]) -> Demand:
    """The first (and only) `accepts` row. Raises BadVoucher."""
    accepts = payload.get("accepts")
    row = accepts[0] if isinstance(accepts, list) and accepts else None
    extra = row.get("extra") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(extra, dict):
        raise BadVoucher("a 402 must have accepts[0].extra")
    last = extra.get("lastReceipt")
    return Demand(
        pay_to=address_of(row.get("payTo"), "payTo"),
        network=str(row.get("network")),
        escrow=address_of(extra.get("escrow"), "escrow"),
        operator=address_of(extra.get("operator"), "operator"),
        generation=uint_of(extra.get("generation"), 32, "generation"),
        charged=Amount(uint_of(extra.get("charged"), 128, "charged")),
        reserved=Amount(uint_of(extra.get("reserved"), 128, "reserved")),
        shortfall=Amount(uint_of(extra.get("shortfall"), 128, "shortfall")),
        last=None if last is None else parse_receipt(last),
    )
