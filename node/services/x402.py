"""The x402 v2 binding: payment header to voucher and terms, refusal to `accepts`, receipt to its document. No ports.

Header values are base64 of JSON. Amounts are decimal strings of base units, ids lower-case 0x-hex.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from node.core.answers import SignedAnswer
from node.core.errors import BadVoucher, Fact
from node.core.hashing import Domain
from node.core.messages import Receipt, Terms, Voucher
from node.core.records import record
from node.core.types import Address, Amount, Bytes32, Signature
from node.core.wire import bytes_of, hex_of, message_from_json, message_to_json, signature_of

VERSION, SCHEME = 2, "ceiling"
MAX_HEADER_BYTES = 16 * 1024
"""A payment header is about 2.3 KB."""


@dataclass(frozen=True, slots=True)
class Market:
    """What this node sells under: one chain, one escrow, one currency, one payee."""

    payee: Address
    domain: Domain
    currency: Address

    @property
    def network(self) -> str:
        """CAIP-2."""
        return f"eip155:{self.domain.chain_id}"


@record
class Payment:
    """A payment header's contents, shape checked only."""

    voucher: Voucher
    signature: Signature
    terms: Terms
    salt: Bytes32


@record
class SignedReceipt:
    """A receipt as it is handed over, with the answer it names if that is due (core.answers)."""

    receipt: Receipt
    signature: Signature
    answer: SignedAnswer | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `PAYMENT-RESPONSE` and of the stream's last comment."""
        document = {"receipt": message_to_json(self.receipt), "signature": hex_of(self.signature)}
        return document if self.answer is None else {**document, "answer": self.answer.to_json()}

    def to_header(self) -> bytes:
        """The same in base64."""
        return base64.b64encode(orjson.dumps(self.to_json()))


def parse_payment(header: bytes, market: Market) -> Payment:
    """Raises BadVoucher saying what is wrong with the header."""
    if len(header) > MAX_HEADER_BYTES:
        raise BadVoucher(f"the payment header is above {MAX_HEADER_BYTES} bytes")
    try:
        document = orjson.loads(binascii.a2b_base64(header, strict_mode=True))
    except (binascii.Error, orjson.JSONDecodeError) as exc:
        raise BadVoucher("the payment header must be base64 of a JSON object") from exc
    if not isinstance(document, dict):
        raise BadVoucher("the payment header must be base64 of a JSON object")
    _check_kind(document, market)
    payload = document.get("payload")
    if not isinstance(payload, dict):
        raise BadVoucher("payload must be an object", field="payload")
    return Payment(
        voucher=message_from_json(Voucher, payload.get("voucher")),
        signature=signature_of(payload.get("signature")),
        terms=message_from_json(Terms, payload.get("terms")),
        salt=Bytes32(bytes_of(payload.get("salt"), 32, "salt")),
    )


def _check_kind(document: Mapping[str, object], market: Market) -> None:
    expected = {"x402Version": VERSION, "scheme": SCHEME, "network": market.network}
    for name, value in expected.items():
        if document.get(name) != value:
            raise BadVoucher(f"{name} must be {value} here", field=name)


@dataclass(frozen=True, slots=True)
class LaneReport:
    """What the node knows of the payer's lane, for the caller to fix its next voucher by."""

    cover_left: Amount = Amount(0)
    charged: Amount = Amount(0)
    reserved: Amount = Amount(0)
    best_ceiling: Amount = Amount(0)
    last: SignedReceipt | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """Everything of a 402 beside the error itself."""

    amount: Amount
    offer_hash: Bytes32
    generation: int
    operator: Address
    lane: LaneReport
    max_timeout_seconds: int

    def to_json(self, market: Market, facts: Mapping[str, Fact]) -> dict[str, Any]:
        """The x402 `PaymentRequired` members. `facts` are the refusal's own (its shortfall)."""
        return {
            "x402Version": VERSION,
            "accepts": [
                {
                    "scheme": SCHEME,
                    "network": market.network,
                    "asset": hex_of(market.currency),
                    "payTo": hex_of(market.payee),
                    "amount": str(self.amount),
                    "maxTimeoutSeconds": self.max_timeout_seconds,
                    "extra": self._extra(market, facts),
                },
            ],
        }

    def _extra(self, market: Market, facts: Mapping[str, Fact]) -> dict[str, Any]:
        known = self.lane
        return {
            "escrow": hex_of(market.domain.escrow),
            "offer": hex_of(self.offer_hash),
            "generation": self.generation,
            "operator": hex_of(self.operator),
            "coverLeft": str(known.cover_left),
            "charged": str(known.charged),
            "reserved": str(known.reserved),
            "bestCeiling": str(known.best_ceiling),
            "lastReceipt": known.last.to_json() if known.last else None,
            "shortfall": str(facts.get("shortfall", 0)),
        }


def cost_of(receipt: Receipt, currency: Address) -> dict[str, str]:
    """The `cost` member of `usage`."""
    return {
        "charge": str(receipt.charge),
        "cumulative": str(receipt.cumulative),
        "currency": hex_of(currency),
        "request_id": hex_of(receipt.request_id),
    }
