"""The receipts behind the settlements of one lane and generation: fetched once, from the first to the last settled one.

Every claim commits all receipts so far, so one pass over the largest tree proves every earlier root on the way (INV13).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from node.audit.archive import Archive
from node.audit.book import Settlement
from node.audit.chain import Progress
from node.audit.crypto import hexed, recover
from node.audit.documents import SettlementPage, parse_entry
from node.audit.errors import MalformedError, UnservedError
from node.audit.findings import Report
from node.audit.held import Held
from node.audit.receipts import ReceiptChecker, Walk
from node.audit.structs import digest_of
from node.audit.tree import Tree, is_frontier

GONE = 410
KEEP_SECONDS = 90 * 86_400
"""A payee serves receipts this long after they were settled (protocol, receipts tree)."""


@dataclass(frozen=True, slots=True)
class LaneAuditor:
    """Reads and checks settled receipts. `at` is the time of the pinned block."""

    archive: Archive
    checker: ReceiptChecker
    held: Held
    report: Report
    at: int
    progress: Progress

    def check(self, settlements: Sequence[Settlement], walk: Walk) -> None:
        """All settlements of the walk's lane and generation."""
        by_root: dict[bytes, list[Settlement]] = {}
        for settlement in sorted(settlements, key=lambda each: each.count):
            by_root.setdefault(settlement.root, []).append(settlement)
        served = [rows for rows in by_root.values() if self._is_served(rows[0], walk)]
        if not served:
            return
        if self._read_tree(served, walk):
            self.held.check_missing(walk.key, served[-1][0].seq)

    def _is_served(self, settlement: Settlement, walk: Walk) -> bool:
        """The claim behind a root: served, the operator's, and the one that was mined."""
        try:
            page = self._fetch_claim(settlement, walk)
        except UnservedError as exc:
            self.report.add("AUD-030", exc.reason, **self._where(settlement, walk))
            return False
        except MalformedError as exc:
            self.report.add("AUD-033", str(exc), **self._where(settlement, walk))
            return False
        self._check_claim(page, settlement, walk)
        return True

    def _fetch_claim(self, settlement: Settlement, walk: Walk) -> SettlementPage:
        """A page of one receipt: the first costs the payee least, the last is there when the first was pruned."""
        try:
            return self.archive.fetch_settlement(walk.key[1], settlement.root, 0, 1)
        except UnservedError as exc:
            if exc.status != GONE:
                raise
        return self.archive.fetch_settlement(walk.key[1], settlement.root, max(0, settlement.count - 1), 1)

    def _check_claim(self, page: SettlementPage, settlement: Settlement, walk: Walk) -> None:
        where = self._where(settlement, walk)
        claim = page.claim
        self.report.counts.signatures += 1
        signer = recover(digest_of(self.checker.separator, claim.struct_hash), page.claim_signature)
        if signer is None or signer != walk.operator:
            self.report.add("AUD-036", f"signed by {hexed(signer) if signer else 'nobody'}", **where)
        octets, numbers = claim.octets, claim.numbers
        said = (octets["payer"], octets["payee"], octets["lane"], numbers["generation"])
        settled = (settlement.seq, settlement.cumulative, settlement.root, settlement.count)
        if said != walk.key or settled != (
            numbers["seq"],
            numbers["cumulative"],
            octets["receiptsRoot"],
            numbers["count"],
        ):
            self.report.add("AUD-036", "the served claim differs from the event", **where)
        if page.root != settlement.root or page.count != settlement.count:
            self.report.add("AUD-032", f"served as {page.count} receipts, settled {settlement.count}", **where)

    def _read_tree(self, served: Sequence[Sequence[Settlement]], walk: Walk) -> bool:
        """Walk the largest tree; True when it was read to its end."""
        last = served[-1][0]
        marks: dict[int, list[Settlement]] = {}
        for rows in served:
            marks.setdefault(rows[0].count, []).append(rows[0])
        try:
            page = self._first_page(last, served, walk)
            while self._read_page(page, last, marks, walk):
                self.progress("reading receipts", walk.tree.count, last.count)
                page = self.archive.fetch_settlement(walk.key[1], last.root, walk.tree.count)
                self._check_peaks(page, last, walk)
        except UnservedError as exc:
            text = f"receipt {walk.tree.count} and on: {exc.reason}"
            self.report.add("AUD-032", text, **self._where(last, walk))
            return False
        except MalformedError as exc:
            text = f"receipt {walk.tree.count}: {exc}"
            self.report.add("AUD-033", text, **self._where(last, walk))
            return False
        return walk.tree.count == last.count

    def _first_page(self, last: Settlement, served: Sequence[Sequence[Settlement]], walk: Walk) -> SettlementPage:
        """From the first receipt, or from the newest settlement old enough that what is before it may be gone."""
        try:
            return self.archive.fetch_settlement(walk.key[1], last.root, 0)
        except UnservedError as exc:
            old = [rows[0] for rows in served if rows[0].event.at + KEEP_SECONDS < self.at and rows[0] is not last]
            if exc.status != GONE or not old:
                raise
        start = old[-1]
        page = self.archive.fetch_settlement(walk.key[1], last.root, start.count)
        if not is_frontier(start.count, page.peaks) or Tree(start.count, page.peaks).root() != start.root:
            self.report.add("AUD-038", "the peaks do not give the settled root", **self._where(start, walk))
        walk.tree = Tree(start.count, page.peaks)
        # The lane's start is among what is gone: base 0 accuses nobody.
        walk.cumulative, walk.seq, walk.base = start.cumulative, start.seq, 0
        self.report.notes.append(
            f"receipts before number {start.count} of {hexed(last.root)} were pruned after 90 days"
        )
        return page

    def _read_page(
        self, page: SettlementPage, last: Settlement, marks: dict[int, list[Settlement]], walk: Walk
    ) -> bool:
        """Check the rows; True when there is a further page."""
        counts = sorted(marks)
        for row in page.rows:
            if walk.tree.count >= last.count:
                self.report.add("AUD-032", "more receipts than were settled", **self._where(last, walk))
                return False
            place = self._settled_at(marks, counts, walk)
            entry = parse_entry(row)
            self.checker.check(entry, walk, place)
            self.held.meet(walk.key, entry.receipt)
            for settlement in marks.get(walk.tree.count, ()):
                self._check_mark(settlement, last, walk)
        if page.following is None or walk.tree.count == last.count:
            self._check_complete(last, walk)
            return False
        if not page.rows or page.following != walk.tree.count:
            raise MalformedError(f"next is {page.following} after receipt {walk.tree.count}")
        return True

    def _settled_at(self, marks: dict[int, list[Settlement]], counts: list[int], walk: Walk) -> tuple[int, int]:
        """Where the next receipt was settled first: that is when its offer must have stood in the registry."""
        return marks[counts[bisect_right(counts, walk.tree.count)]][0].event.log.place

    def _check_complete(self, last: Settlement, walk: Walk) -> None:
        if walk.tree.count != last.count:
            text = f"{walk.tree.count} receipts served, {last.count} settled"
            self.report.add("AUD-032", text, **self._where(last, walk))
        if last.count == 0:
            self._check_mark(last, last, walk)

    def _check_mark(self, settlement: Settlement, last: Settlement, walk: Walk) -> None:
        """At a settled count: root, total and sequence are the settled ones."""
        where = self._where(settlement, walk)
        root = walk.tree.root()
        if root != settlement.root:
            self.report.add("AUD-034" if settlement is last else "AUD-035", f"the receipts give {hexed(root)}", **where)
        if walk.total != settlement.cumulative:
            self.report.add("AUD-037", f"settled {settlement.cumulative}, the receipts say {walk.total}", **where)
        elif walk.seq != settlement.seq:
            text = f"settled with seq {settlement.seq}, the last receipt has {walk.seq}"
            self.report.add("AUD-037", text, **where)

    def _check_peaks(self, page: SettlementPage, last: Settlement, walk: Walk) -> None:
        if list(page.peaks) != walk.tree.peaks:
            self.report.add("AUD-038", f"before receipt {walk.tree.count}", **self._where(last, walk))

    def _where(self, settlement: Settlement, walk: Walk) -> dict[str, str | int]:
        about = {"root": hexed(settlement.root), "tx": hexed(settlement.event.log.tx_hash)}
        return walk.where() | about | {"count": settlement.count}
