"""What nodes serve, as typed documents: settlement pages, receipts with vouchers, offers, lane totals. Shape only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.audit.crypto import hexed, octets_of, uint_of
from node.audit.errors import MalformedError
from node.audit.structs import ANSWER, CLAIM, RECEIPT, TERMS, VOUCHER, Message, Offer, parse_offer


@dataclass(frozen=True, slots=True)
class Entry:
    """One receipt with what justifies it. A client may hold a receipt alone: then terms and voucher are None.

    `answer`: the executor's word, where the receipt names one and it is shown (it can be made only with its own key).
    """

    receipt: Message
    signature: bytes
    terms: Message | None
    voucher: Message | None
    voucher_signature: bytes
    answer: Message | None = None
    answer_signature: bytes = b""


@dataclass(frozen=True, slots=True)
class SettlementPage:
    """A page of a settlement's receipts. `rows` are unparsed; `following` is where the next page starts."""

    root: bytes
    count: int
    claim: Message
    claim_signature: bytes
    peaks: tuple[bytes, ...]
    rows: Sequence[object]
    following: int | None


@dataclass(frozen=True, slots=True)
class OfferDocument:
    """An offer and its signature."""

    offer: Offer
    signature: bytes


@dataclass(frozen=True, slots=True)
class LaneTotals:
    """What a node says about a lane without its receipts."""

    generation: int
    charged: int
    reserved: int
    best_ceiling: int


def where_of(receipt: Message) -> dict[str, str | int]:
    """Which receipt, for a finding's evidence."""
    about: dict[str, str | int] = {name: hexed(receipt.octets[name]) for name in ("payer", "payee", "lane")}
    about["generation"] = receipt.numbers["generation"]
    return about | {"request_id": hexed(receipt.octets["requestId"]), "seq": receipt.numbers["seq"]}


def _member(document: object, name: str) -> Any:  # noqa: ANN401 -- JSON
    if not isinstance(document, dict):
        raise MalformedError("the answer is not a JSON object")
    return document.get(name)


def parse_entry(document: object) -> Entry:
    """A served receipt: everything must be there. Raises MalformedError."""
    return Entry(
        receipt=RECEIPT.parse(_member(document, "receipt")),
        signature=octets_of(_member(document, "signature"), 65, "signature"),
        terms=TERMS.parse(_member(document, "terms")),
        voucher=VOUCHER.parse(_member(document, "voucher")),
        voucher_signature=octets_of(_member(document, "voucherSignature"), 65, "voucherSignature"),
        **_answer_of(document),
    )


def parse_held(document: object) -> Entry:
    """A receipt as a client keeps it: terms and voucher may be missing. Raises MalformedError."""
    terms, voucher = _member(document, "terms"), _member(document, "voucher")
    signature = _member(document, "voucherSignature")
    return Entry(
        receipt=RECEIPT.parse(_member(document, "receipt")),
        signature=octets_of(_member(document, "signature"), 65, "signature"),
        terms=None if terms is None else TERMS.parse(terms),
        voucher=None if voucher is None else VOUCHER.parse(voucher),
        voucher_signature=b"" if signature is None else octets_of(signature, 65, "voucherSignature"),
        **_answer_of(document),
    )


def _answer_of(document: object) -> dict[str, Any]:
    shown = _member(document, "answer")
    if shown is None:
        return {}
    signature = octets_of(_member(shown, "signature"), 65, "answer signature")
    return {"answer": ANSWER.parse(_member(shown, "answer")), "answer_signature": signature}


def parse_settlement_page(document: object) -> SettlementPage:
    """The answer of `GET /v1/settlements/{root}/receipts`. Raises MalformedError."""
    peaks, rows = _member(document, "peaks"), _member(document, "receipts")
    if not isinstance(peaks, list) or not isinstance(rows, list):
        raise MalformedError("peaks and receipts must be lists")
    return SettlementPage(
        root=octets_of(_member(document, "root"), 32, "root"),
        count=uint_of(_member(document, "count"), 32, "count"),
        claim=CLAIM.parse(_member(document, "claim")),
        claim_signature=octets_of(_member(document, "claimSignature"), 65, "claimSignature"),
        peaks=tuple(octets_of(peak, 32, "peak") for peak in peaks),
        rows=rows,
        following=_optional_uint(_member(document, "next"), 64),
    )


def parse_receipts_page(document: object) -> tuple[Sequence[object], int | None]:
    """The answer of `GET /v1/receipts`: unparsed rows and the seq to go on after. Raises MalformedError."""
    rows = _member(document, "receipts")
    if not isinstance(rows, list):
        raise MalformedError("receipts must be a list")
    return rows, _optional_uint(_member(document, "next"), 64)


def parse_offer_document(document: object) -> OfferDocument:
    """The answer of `GET /v1/offers/{hash}`. Raises MalformedError."""
    signature = octets_of(_member(document, "signature"), 65, "signature")
    return OfferDocument(parse_offer(_member(document, "offer")), signature)


def parse_lane_totals(document: object) -> LaneTotals:
    """The answer of `GET /v1/lanes/{payer}/{lane}`. Raises MalformedError."""
    return LaneTotals(
        generation=uint_of(_member(document, "generation"), 32, "generation"),
        charged=uint_of(_member(document, "charged"), 128, "charged"),
        reserved=uint_of(_member(document, "reserved"), 128, "reserved"),
        best_ceiling=uint_of(_member(document, "bestCeiling"), 128, "bestCeiling"),
    )


def _optional_uint(member: object, bits: int) -> int | None:
    return None if member is None else uint_of(member, bits, "next")
