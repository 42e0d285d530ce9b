"""Receipts that are not settled yet, and the totals a node states for its lanes: the books between two settlements."""

from collections.abc import Iterator
from dataclasses import dataclass

from node.audit.archive import Archive
from node.audit.book import Book, LaneId
from node.audit.crypto import hexed
from node.audit.documents import LaneTotals, parse_entry
from node.audit.errors import MalformedError, UnservedError
from node.audit.findings import Report
from node.audit.held import Held
from node.audit.receipts import ReceiptChecker, Walk

NOT_FOUND = 404


def candidate_lanes(book: Book) -> Iterator[LaneId]:
    """Every lane that may have receipts: each pair's payer and its further signers."""
    signers: dict[bytes, list[bytes]] = {}
    for address, signer in book.signers.items():
        signers.setdefault(signer.payer, []).append(address)
    for payer, payee in book.pairs:
        for lane in (payer, *signers.get(payer, ())):
            yield (payer, payee, lane)


@dataclass(frozen=True, slots=True)
class UnsettledAuditor:
    """Reads and checks receipts beyond the last settlement of a lane and generation."""

    archive: Archive
    checker: ReceiptChecker
    held: Held
    report: Report

    def fetch_totals(self, lane: LaneId) -> LaneTotals | None:
        """What the node says the lane has run up; None when it knows no such lane. Read before the receipts."""
        try:
            return self.archive.fetch_lane(lane[1], lane[0], lane[2])
        except (UnservedError, MalformedError) as exc:
            if not isinstance(exc, UnservedError) or exc.status != NOT_FOUND:
                self.report.add("AUD-074", f"lane totals: {exc}", **_names(lane))
            return None

    def check(self, walk: Walk, totals: LaneTotals | None) -> bool:
        """Page on from where the walk stands; the node's totals must be met on the way. False: not to be had."""
        before = self.report.counts.receipts
        seen = {0, walk.total}
        try:
            self._read(walk, seen)
        except (UnservedError, MalformedError) as exc:
            self._failed(exc, walk)
            return False
        self.report.counts.unsettled_receipts += self.report.counts.receipts - before
        if totals is not None and totals.generation == walk.key[3]:
            self._check_totals(walk, totals, seen)
        return True

    def _read(self, walk: Walk, seen: set[int]) -> None:
        payer, payee, lane, generation = walk.key
        after: int | None = walk.seq
        while after is not None:
            rows, following = self.archive.fetch_receipts(payee, payer, lane, generation, after)
            for row in rows:
                entry = parse_entry(row)
                self.checker.check(entry, walk, None)
                self.held.meet(walk.key, entry.receipt)
                seen.update((walk.base or 0, walk.total))
            if following is not None and (not rows or following <= after):
                raise MalformedError(f"next is {following} after {after}")
            after = following

    def _check_totals(self, walk: Walk, totals: LaneTotals, seen: set[int]) -> None:
        # Requests may have ended between the two reads, so any total on the way is as good as the last.
        if walk.cumulative is None:
            return
        if totals.charged not in seen:
            text = f"the node says {totals.charged}, its receipts {walk.total}"
            self.report.add("AUD-073", text, **walk.where())
        # The ceiling of a request that is still open is in no receipt: only totals of one moment can be compared.
        highest = max(totals.best_ceiling, walk.best_ceiling)
        if totals.charged > max(highest, walk.base or 0):
            self.report.add("AUD-053", f"receipts of {totals.charged}, ceiling {highest}", **walk.where())

    def _failed(self, exc: Exception, walk: Walk) -> None:
        if isinstance(exc, MalformedError):
            self.report.add("AUD-033", str(exc), **walk.where())
        elif not isinstance(exc, UnservedError) or exc.status != NOT_FOUND:
            self.report.add("AUD-074", str(exc), **walk.where())


def _names(lane: LaneId) -> dict[str, str | int]:
    return {"payer": hexed(lane[0]), "payee": hexed(lane[1]), "lane": hexed(lane[2])}
