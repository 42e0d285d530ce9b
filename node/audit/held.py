"""The receipts a client holds: checked by themselves, then against what the payee settled and serves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from node.audit.book import Book, GenerationId, Settlement
from node.audit.crypto import hexed
from node.audit.documents import Entry, where_of
from node.audit.findings import Report
from node.audit.pricing import check_price
from node.audit.receipts import ReceiptChecker
from node.audit.structs import Message


def lane_of(receipt: Message) -> GenerationId:
    """The lane and generation a receipt names."""
    octets = receipt.octets
    return (octets["payer"], octets["payee"], octets["lane"], receipt.numbers["generation"])


@dataclass(slots=True)
class Held:
    """A client's receipts by lane and generation, and which of them the payee's tree had."""

    report: Report
    by_lane: dict[GenerationId, list[Entry]] = field(default_factory=dict)
    _by_request: dict[tuple[GenerationId, bytes], bytes] = field(default_factory=dict)
    _met: set[tuple[GenerationId, bytes]] = field(default_factory=set)

    def take(self, entries: Sequence[Entry], checker: ReceiptChecker, book: Book) -> None:
        """Check and index the file; two receipts of one payee that contradict each other need nothing else."""
        self.report.counts.held_receipts = len(entries)
        for entry in entries:
            key = lane_of(entry.receipt)
            operator = book.payee(key[1]).operators.get(key[3], b"")
            checker.check_signature(entry, operator, where_of(entry.receipt))
            check_price(entry, self.report, where_of(entry.receipt))
            self._index(key, entry)
        for rows in self.by_lane.values():
            self._check_order(rows)

    def _index(self, key: GenerationId, entry: Entry) -> None:
        request = (key, entry.receipt.octets["requestId"])
        known = self._by_request.setdefault(request, entry.receipt.struct_hash)
        if known != entry.receipt.struct_hash:
            self.report.add("AUD-071", "two receipts for one request", **where_of(entry.receipt))
        self.by_lane.setdefault(key, []).append(entry)

    def _check_order(self, rows: list[Entry]) -> None:
        rows.sort(key=lambda entry: entry.receipt.numbers["seq"])
        for earlier, later in pairwise(rows):
            same_seq = earlier.receipt.numbers["seq"] == later.receipt.numbers["seq"]
            differs = earlier.receipt.struct_hash != later.receipt.struct_hash
            falls = later.receipt.numbers["cumulative"] < earlier.receipt.numbers["cumulative"]
            if differs and (same_seq or falls):
                text = "the running total falls while the sequence rises" if falls else "two receipts of one sequence"
                self.report.add("AUD-071", text, **where_of(later.receipt))

    def meet(self, key: GenerationId, receipt: Message) -> None:
        """The payee's tree has this receipt: it must be the very one the client holds."""
        request = (key, receipt.octets["requestId"])
        known = self._by_request.get(request)
        if known is None:
            return
        self._met.add(request)
        if known != receipt.struct_hash:
            text = "the client holds another receipt for this request"
            self.report.add("AUD-071", text, request_id=hexed(request[1]), lane=hexed(key[2]), payee=hexed(key[1]))

    def check_settlements(self, settlements: Sequence[Settlement]) -> None:
        """Overclaims that the client's own receipts prove; no endpoint is needed (protocol, challengeOverclaim)."""
        for settlement in settlements:
            for entry in self.by_lane.get(settlement.generation_id, ()):
                numbers = entry.receipt.numbers
                if numbers["seq"] >= settlement.seq and numbers["cumulative"] < settlement.cumulative:
                    said = numbers["cumulative"]
                    text = f"claimed {settlement.cumulative}, this later receipt says {said}: challenge it"
                    self.report.add("AUD-072", text, tx=hexed(settlement.event.log.tx_hash), **where_of(entry.receipt))

    def check_missing(self, key: GenerationId, last_seq: int) -> None:
        """After a lane was read up to a sequence: every receipt the client holds up to there must have been in it."""
        for entry in self.by_lane.get(key, ()):
            request = (key, entry.receipt.octets["requestId"])
            if entry.receipt.numbers["seq"] <= last_seq and request not in self._met:
                self._met.add(
                    request
                )  # reported once, though settled and unsettled receipts are read one after another
                self.report.add("AUD-070", "it is not among the payee's receipts", **where_of(entry.receipt))
