"""Curves from raw latencies: SLO attainment over thresholds, areas under it, moving averages."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from node.sim.compare import Done
from node.sim.stats import Interval, interval, paired

SWEEP = tuple(float(threshold) for threshold in range(100, 601, 10))
AREA = tuple(float(threshold) for threshold in range(150, 401, 10))
LEAST_SINGLE = 0.20
"""Ratios over `single` are only taken where it attains this much; below, a ratio says nothing."""


def attainment(done: Done, threshold: float) -> float:
    """Share of all requests of the run answered within the threshold."""
    return bisect_right(done.latencies, threshold) / max(done.summary.requests, 1)


def curve(results: Sequence[Done], thresholds: Sequence[float] = SWEEP) -> list[float]:
    """Mean attainment over the seeds, by threshold."""
    return [sum(attainment(done, threshold) for done in results) / len(results) for threshold in thresholds]


def area(done: Done, thresholds: Sequence[float] = AREA) -> float:
    """Mean attainment over the range of thresholds (trapezoids)."""
    points = [attainment(done, threshold) for threshold in thresholds]
    return sum((a + b) / 2 for a, b in pairwise(points)) / (len(points) - 1)


def best_ratio(ours: Sequence[Done], single: Sequence[Done]) -> tuple[float, float, Interval]:
    """(threshold, ratio of mean attainments, paired interval of the difference) where the ratio is largest."""
    best = (0.0, 0.0)
    for threshold in SWEEP:
        base = sum(attainment(done, threshold) for done in single) / len(single)
        if base < LEAST_SINGLE:
            continue
        ratio = sum(attainment(done, threshold) for done in ours) / len(ours) / base
        best = max(best, (ratio, threshold))
    ratio, threshold = best
    difference = paired(
        [attainment(done, threshold) for done in ours], [attainment(done, threshold) for done in single]
    )
    return threshold, ratio, difference


def relative(ours: Sequence[Done], base: Sequence[Done], name: str = "mean") -> Interval:
    """Seed by seed: ours / base - 1 of one figure."""
    changes = [getattr(a.summary, name) / getattr(b.summary, name) - 1.0 for a, b in zip(ours, base, strict=True)]
    return interval(changes)


def moving_average(points: Sequence[float], window: int) -> list[float]:
    """Mean of the last `window` points, shorter at the start."""
    total, averages = 0.0, []
    for index, point in enumerate(points):
        total += point - (points[index - window] if index >= window else 0.0)
        averages.append(total / min(index + 1, window))
    return averages
