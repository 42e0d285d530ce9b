"""Means over seeds with honest intervals: Student's t over runs, paired where the seeds are the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from node.sim.record import mean_of

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
         2.120, 2.110, 2.101, 2.093, 2.086)  # fmt: skip
"""Student's t, two-sided 95 %, for 1, 2, ... degrees of freedom; beyond the table 2 is near enough."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and the half-width of its 95 % interval (0 for one seed: no claim)."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half


def interval(numbers: Sequence[float]) -> Interval:
    """Mean and 95 % interval of independent runs."""
    count, mean = len(numbers), mean_of(numbers)
    if count < 2:
        return Interval(mean, 0.0)
    variance = sum((number - mean) ** 2 for number in numbers) / (count - 1)
    quantile = T_975[count - 2] if count - 2 < len(T_975) else 2.0
    return Interval(mean, quantile * sqrt(variance / count))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Interval of the difference, seed by seed."""
    return interval([a - b for a, b in zip(ours, theirs, strict=True)])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Mean of ours over mean of theirs, with the interval that leaving out one seed after another gives (jackknife)."""
    count, top, bottom = len(ours), sum(ours), sum(theirs)
    whole = top / bottom if bottom else 0.0
    if count < 2 or not all(bottom - b for b in theirs):
        return Interval(whole, 0.0)
    without = [(top - a) / (bottom - b) for a, b in zip(ours, theirs, strict=True)]
    return Interval(whole, interval([count * whole - (count - 1) * one for one in without]).half)
