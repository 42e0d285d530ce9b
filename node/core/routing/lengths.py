"""How long answers get: an empirical distribution of finished answers, asked for what is still to come.

An answer's length is unknown until it ends; what has been generated so far and what others were like is all there is.
One mutable histogram a model; it holds counts only, never content.
"""

from bisect import bisect_right

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
    """Finished lengths in geometric buckets. `prior` is the guess before anything was seen and weighs like one answer."""

    __slots__ = ("_counts", "_since", "_suffix_count", "_suffix_sum", "_sums")

    def __init__(self, prior: float = 256.0) -> None:
        self._counts = [0.0] * len(EDGES)
        self._sums = [0.0] * len(EDGES)
        self._since = 0
        self._add(prior)
        self._rebuild()

    def observe(self, tokens: int) -> None:
        """Learn from one finished answer."""
        self._add(float(tokens))
        self._since += 1
        if self._since >= REFRESH or self._suffix_count[0] < REFRESH:
            self._rebuild()

    def remaining(self, generated: int, cap: int) -> float:
        """Expected tokens still to come after `generated`, at most cap - generated, at least one."""
        index = bisect_right(EDGES, generated)
        if index >= len(EDGES) or self._suffix_count[index] < 1.0:
            expected = max(float(generated), 1.0)  # nothing that long was seen: what has lasted lasts as long again
        else:
            expected = self._suffix_sum[index] / self._suffix_count[index] - generated
        return max(min(expected, float(cap - generated)), 1.0)

    def _add(self, tokens: float) -> None:
        index = bisect_right(EDGES, tokens) - 1
        self._counts[index] += 1.0
        self._sums[index] += tokens

    def _rebuild(self) -> None:
        count = total = 0.0
        suffix_count, suffix_sum = [0.0] * len(EDGES), [0.0] * len(EDGES)
        for index in range(len(EDGES) - 1, -1, -1):
            count += self._counts[index]
            total += self._sums[index]
            suffix_count[index], suffix_sum[index] = count, total
        self._suffix_count, self._suffix_sum, self._since = suffix_count, suffix_sum, 0
