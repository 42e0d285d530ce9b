"""All generations of one lane, oldest first: settled receipts, unsettled ones if asked for, and each one's base."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.audit.book import Book, LaneId, Settlement
from node.audit.documents import LaneTotals
from node.audit.findings import Report
from node.audit.lanes import LaneAuditor
from node.audit.receipts import Walk
from node.audit.unsettled import UnsettledAuditor

ALL = 1 << 64
"""Above every sequence."""


@dataclass(frozen=True, slots=True)
class LaneWalker:
    """Walks lanes. `wants_unsettled`: read on beyond the last settlement."""

    book: Book
    settled: LaneAuditor
    unsettled: UnsettledAuditor
    report: Report
    wants_unsettled: bool

    def walk_lane(self, lane: LaneId, by_generation: Mapping[int, Sequence[Settlement]]) -> None:
        """Every generation with settlements, or every generation there is."""
        totals = self.unsettled.fetch_totals(lane) if self.wants_unsettled else None
        seen: set[bytes] = set()
        older: list[Walk] = []
        owed = 0
        for generation in self._generations(lane, by_generation):
            walk = self._walk(lane, generation, seen)
            settlements = by_generation.get(generation, ())
            if settlements:
                self.settled.check(settlements, walk)
            if self.wants_unsettled:
                self._read_on(walk, settlements, totals)
            self._check_base(walk, older, owed)
            owed = max(owed, walk.total, *(settlement.claimed_after for settlement in settlements), 0)
            older.append(walk)

    def _generations(self, lane: LaneId, by_generation: Mapping[int, Sequence[Settlement]]) -> list[int]:
        known = set(by_generation)
        if self.wants_unsettled:
            known |= set(self.book.payee(lane[1]).operators)
        return sorted(known)

    def _walk(self, lane: LaneId, generation: int, seen: set[bytes]) -> Walk:
        operator = self.book.payee(lane[1]).operators.get(generation, b"")
        return Walk((*lane, generation), operator, seen)

    def _read_on(self, walk: Walk, settlements: Sequence[Settlement], totals: LaneTotals | None) -> None:
        """Only from a sound place: a settled tree that could not be read to its end is a finding already."""
        if walk.tree.count == max((settlement.count for settlement in settlements), default=0):
            walk.best_ceiling = max([walk.best_ceiling, *(settlement.ceiling for settlement in settlements)])
            if self.unsettled.check(walk, totals):
                # The client had its receipts before the payee was asked: all of them must be there.
                self.settled.held.check_missing(walk.key, ALL)

    def _check_base(self, walk: Walk, older: Sequence[Walk], owed: int) -> None:
        """A generation may start at most at what was owed before it; what was not settled then must be shown."""
        if walk.base is None or walk.base <= owed:
            return
        if not self.wants_unsettled:
            earlier = {each.key[3]: each for each in older}
            for generation in range(walk.key[3] - 1, 0, -1):
                previous = earlier.get(generation) or self._walk(walk.key[:3], generation, walk.seen)
                self.unsettled.check(previous, None)
                owed = max(owed, previous.total)
                if previous.cumulative is not None:
                    break
        if walk.base > owed:
            text = f"it starts at {walk.base}, {owed} was owed before"
            self.report.add("AUD-052", text, **walk.where())
