"""Curves from raw latencies: SLO attainment over thresholds, areas under it, moving averages."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from node.sim.compare import Done
from node.sim.stats import Interval, interval, paired, ratio

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


@dataclass(frozen=True, slots=True)
class Gain:
    """Attainment against `single` at one threshold: the ratio of the means, the paired difference, over seeds."""

    threshold: float
    ratio: Interval
    difference: Interval


def gain(ours: Sequence[Done], single: Sequence[Done], threshold: float) -> Gain:
    """At one threshold, with both intervals."""
    mine, base = ([attainment(done, threshold) for done in results] for results in (ours, single))
    return Gain(threshold, ratio(mine, base), paired(mine, base))


def best_gain(ours: Sequence[Done], single: Sequence[Done], thresholds: Sequence[float] = SWEEP) -> Gain:
    """Where the ratio is largest, of the thresholds that `single` attains often enough."""
    fair = [at for at, share in zip(thresholds, curve(single, thresholds), strict=True) if share >= LEAST_SINGLE]
    nothing = Gain(0.0, Interval(0.0, 0.0), Interval(0.0, 0.0))
    return max((gain(ours, single, at) for at in fair), key=lambda found: found.ratio.mean, default=nothing)


def surely_better(ours: Sequence[Done], single: Sequence[Done], thresholds: Sequence[float] = SWEEP) -> set[float]:
    """The thresholds at which the paired interval of the difference lies above zero."""
    return {threshold for threshold in thresholds if gain(ours, single, threshold).difference.low > 0}


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
