"""How long answers get: an empirical distribution of finished answers, asked for what is still to come.

An answer's length is unknown until it ends; what has been generated so far and what others were like is all there is.
One mutable histogram a model; it holds counts only, never content.
"""

from bisect import bisect_right
from collections.abc import Iterable

GROWTH = 1.12
LONGEST = 262_144
REFRESH = 16
"""Observations between two rebuilds of the suffix sums."""


def _edges() -> tuple[int, ...]:
    edges, edge = [0], 1.0
    while edge < LONGEST:
        if int(edge) > edges[-1]:
            edges.append(int(edge))
        edge *= GROWTH
    return tuple(edges)


EDGES = _edges()
"""Bucket i holds lengths in [EDGES[i], EDGES[i + 1])."""


class LengthModel:
    """Finished lengths in geometric buckets. `prior`, the guess before anything was seen, weighs like one answer."""

    __slots__ = ("_counts", "_longer", "_since", "_sums", "_total")

    def __init__(self, prior: float = 256.0) -> None:
        self._counts = [0.0] * len(EDGES)
        self._sums = [0.0] * len(EDGES)
        self._since = 0
        self._total = 0.0
        self._longer = [0.0] * (len(EDGES) + 1)
        self._add(prior)
        self._rebuild()

    def observe(self, tokens: int) -> None:
        """Learn from one finished answer."""
        self._add(float(tokens))
        self._since += 1
        if self._since >= REFRESH or self._total < REFRESH:
            self._rebuild()

    def remaining(self, generated: int, cap: int) -> float:
        """Expected tokens still to come after `generated`, at most cap - generated, at least one."""
        longer = self._longer[bisect_right(EDGES, generated)]
        expected = longer - generated if longer else generated
        return max(min(expected, float(cap - generated)), 1.0)

    def remaining_of(self, answers: Iterable[tuple[int, int]]) -> list[float]:
        """`remaining` for many (generated, cap) at once: a node with a thousand streams asks this for every bid."""
        edges, table = EDGES, self._longer
        found = []
        for generated, cap in answers:
            longer = table[bisect_right(edges, generated)]
            expected = longer - generated if longer else generated
            left = cap - generated
            expected = expected if expected < left else left  # noqa: FURB136  # min() here: a tenth of a bid
            found.append(expected if expected > 1.0 else 1.0)  # noqa: FURB136  # the same
        return found

    def quantile(self, share: float) -> float:
        """The length that `share` of all answers stay below (the upper edge of its bucket).

        Zero until enough was seen: nobody is to be refused on the strength of a prior.
        """
        if self._total < REFRESH:
            return 0.0
        wanted, seen = share * self._total, 0.0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return float(EDGES[min(index + 1, len(EDGES) - 1)])
        return float(LONGEST)

    def _add(self, tokens: float) -> None:
        index = bisect_right(EDGES, tokens) - 1
        self._counts[index] += 1.0
        self._sums[index] += tokens

    def _rebuild(self) -> None:
        """Mean length of all answers in bucket i or longer; 0 where none was: what has lasted lasts as long again."""
        count = total = 0.0
        longer = [0.0] * (len(EDGES) + 1)
        for index in range(len(EDGES) - 1, -1, -1):
            count += self._counts[index]
            total += self._sums[index]
            longer[index] = total / count if count >= 1.0 else 0.0
        self._longer, self._total, self._since = longer, count, 0
