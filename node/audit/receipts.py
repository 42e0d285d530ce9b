"""One receipt in its lane: who signed it, for which voucher, and how it follows the one before it (INV12)."""

from dataclasses import dataclass, field

from node.audit.answers import check_answer
from node.audit.book import GenerationId
from node.audit.crypto import hexed, recover
from node.audit.documents import Entry
from node.audit.findings import Report
from node.audit.offers import Offers
from node.audit.pricing import check_price
from node.audit.structs import Message, digest_of
from node.audit.tree import Tree, leaf_of


@dataclass(slots=True)
class Walk:
    """A lane and generation, as far as its receipts were read. `seen`: request ids of the lane in all generations."""

    key: GenerationId
    operator: bytes
    seen: set[bytes]
    tree: Tree = field(default_factory=Tree)
    cumulative: int | None = None
    seq: int = 0
    base: int | None = None
    best_ceiling: int = 0

    @property
    def total(self) -> int:
        """The running total; 0 before the first receipt."""
        return self.cumulative or 0

    def where(self, receipt: Message | None = None) -> dict[str, str | int]:
        """Which lane, and which receipt, for a finding's evidence."""
        payer, payee, lane, generation = self.key
        about: dict[str, str | int] = {
            "payer": hexed(payer),
            "payee": hexed(payee),
            "lane": hexed(lane),
            "generation": generation,
        }
        if receipt is not None:
            about |= {"request_id": hexed(receipt.octets["requestId"]), "seq": receipt.numbers["seq"]}
        return about


@dataclass(frozen=True, slots=True)
class ReceiptChecker:
    """Everything one receipt is checked against."""

    separator: bytes
    offers: Offers
    report: Report

    def check(self, entry: Entry, walk: Walk, place: tuple[int, int] | None) -> None:
        """Check one receipt and step the walk past it. `place`: where it was settled (None: not yet)."""
        receipt, where = entry.receipt, walk.where(entry.receipt)
        key = (*(receipt.octets[name] for name in ("payer", "payee", "lane")), receipt.numbers["generation"])
        if key != walk.key:
            self.report.add("AUD-054", "it names another payer, payee, lane or generation", **where)
        self.check_signature(entry, walk.operator, where)
        check_price(entry, self.report, where)
        self._check_voucher(entry, walk, where)
        self._check_sequence(receipt, walk, where)
        if entry.terms is not None:
            self.offers.check(walk.key[1], entry.terms, place, where)
        self._step(receipt, walk)

    def check_signature(self, entry: Entry, operator: bytes, where: dict[str, str | int]) -> None:
        """The operator of the receipt's generation signed it, and the answer it names."""
        self.report.counts.signatures += 1
        signer = recover(digest_of(self.separator, entry.receipt.struct_hash), entry.signature)
        if signer is None or signer != operator:
            self.report.add("AUD-040", f"signed by {hexed(signer) if signer else 'nobody'}", **where)
        check_answer(entry, (self.separator, operator), self.report, where)

    def _check_voucher(self, entry: Entry, walk: Walk, where: dict[str, str | int]) -> None:
        voucher = entry.voucher
        if voucher is None:
            return
        self.report.counts.signatures += 1
        signer = recover(digest_of(self.separator, voucher.struct_hash), entry.voucher_signature)
        if signer is None or signer != walk.key[2]:
            self.report.add("AUD-041", f"signed by {hexed(signer) if signer else 'nobody'}", **where)
        names = (voucher.octets["payer"], voucher.octets["payee"], voucher.numbers["generation"])
        if names != (walk.key[0], walk.key[1], walk.key[3]):
            self.report.add("AUD-042", "payer, payee or generation of the voucher differ", **where)
        if voucher.octets["context"] != entry.receipt.octets["context"]:
            self.report.add("AUD-043", "receipt and voucher have different contexts", **where)
        walk.best_ceiling = max(walk.best_ceiling, voucher.numbers["ceiling"])

    def _check_sequence(self, receipt: Message, walk: Walk, where: dict[str, str | int]) -> None:
        charge, cumulative = receipt.numbers["charge"], receipt.numbers["cumulative"]
        if walk.cumulative is not None and walk.cumulative + charge != cumulative:
            text = f"{walk.cumulative} before, {charge} charged, {cumulative} after"
            self.report.add("AUD-049", text, **where)
        if cumulative < charge:
            self.report.add("AUD-049", f"{charge} charged, {cumulative} in all", **where)
        if receipt.numbers["seq"] <= walk.seq:
            self.report.add("AUD-050", f"seq {receipt.numbers['seq']} after {walk.seq}", **where)
        request_id = receipt.octets["requestId"]
        if request_id in walk.seen:
            self.report.counts.duplicated_requests += 1
            self.report.add("AUD-051", f"charged {charge} more for a request that has a receipt", **where)
        walk.seen.add(request_id)

    def _step(self, receipt: Message, walk: Walk) -> None:
        charge, cumulative = receipt.numbers["charge"], receipt.numbers["cumulative"]
        if walk.base is None:
            walk.base = max(0, cumulative - charge)
        walk.cumulative, walk.seq = cumulative, max(walk.seq, receipt.numbers["seq"])
        walk.tree.add(leaf_of(receipt.struct_hash))
        tokens = receipt.numbers["promptTokens"], receipt.numbers["completionTokens"]
        self.report.book_receipt(walk.key[:2], *tokens, charge)
