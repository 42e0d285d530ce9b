"""What came of every request: arrays of numbers, cheap at a million requests, and the figures computed from them.

Every request that arrived is in every denominator: what was refused, lost or never ended counts as missed.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from node.sim.workload import Arrival


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one run. Latencies in seconds over answered requests; shares over all that arrived."""

    requests: int
    answered: int
    mean: float
    p50: float
    p95: float
    p99: float
    ttft_mean: float
    ttft_p99: float
    slo: dict[str, float]
    throughput: float
    goodput: float
    utilisation: float
    messages_per_request: float
    offloaded: float
    preemptions: int
    gini_served: float


class Recorder:
    """Filled by the run."""

    __slots__ = ("arrivals", "ended_at", "failovers", "first", "latency", "node", "refusals", "source", "total")

    def __init__(self) -> None:
        self.arrivals, self.latency, self.first = array("d"), array("d"), array("d")
        self.source, self.node = array("l"), array("l")
        self.total = 0
        self.ended_at = 0.0
        self.failovers = array("d")
        self.refusals = array("d")

    def arrived(self) -> None:
        """Count a request, whatever becomes of it."""
        self.total += 1

    def answered(self, arrival: Arrival, first_at: float, at: float, node: int) -> None:
        """A complete answer reached its user."""
        self.arrivals.append(arrival.at)
        self.latency.append(at - arrival.at)
        self.first.append(first_at - arrival.at)
        self.source.append(arrival.source)
        self.node.append(node)
        self.ended_at = max(self.ended_at, at)

    def refused(self, seconds_after_arrival: float) -> None:
        """A node said no; the earlier, the better for the client."""
        self.refusals.append(seconds_after_arrival)

    def restarted(self, seconds_after_death: float) -> None:
        """A request lost with its node was begun again elsewhere, so long after the death."""
        self.failovers.append(seconds_after_death)

    def attainment(self, threshold: float) -> float:
        """Share of all requests answered within `threshold` seconds."""
        return sum(1 for latency in self.latency if latency <= threshold) / max(self.total, 1)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the two nearest ranks of a sorted sequence; 0 when empty."""
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mean_of(numbers: Sequence[float]) -> float:
    """Mean; 0 when empty."""
    return sum(numbers) / len(numbers) if numbers else 0.0


def gini(shares: Sequence[float]) -> float:
    """Inequality: 0 when all are equal, near 1 when one has all."""
    ordered, total = sorted(shares), sum(shares)
    count = len(ordered)
    if count == 0 or total == 0:
        return 0.0
    ranked = sum((rank + 1) * share for rank, share in enumerate(ordered))
    return 2.0 * ranked / (count * total) - (count + 1) / count
