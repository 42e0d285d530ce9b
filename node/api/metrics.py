"""Prometheus metrics in a registry of their own. Names no payer, no id and no content (threat L5).

The serve path adds to plain numbers (it runs on one thread); Prometheus' families are made of them when somebody asks.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from node.core.account import Outcome
from node.core.errors import WwwserveError
from node.core.membership.members import Liveness, Member
from node.core.membership.tally import Dropped, Event
from node.core.membership.tally import Tally as MembershipTally
from node.core.types import Status

FIRST_BYTE_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DURATION_BUCKETS = (0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
PREFIX = "wwwserve_"


class Timings:
    """Durations by bucket."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, text: str) -> Metric:
        """As Prometheus wants it: cumulative counts by upper bound."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(PREFIX + name, text, buckets=buckets, sum_value=self._sum)


class ServeTallies(Collector):
    """services.parts.Observer: what happened since the start."""

    def __init__(self) -> None:
        self._admitted = self._charged = self._prompt = self._completion = 0
        self._refused: Tally[str] = Tally()
        self._receipts: Tally[str] = Tally({status.name.lower(): 0 for status in Status})
        self._first_byte, self._duration = Timings(FIRST_BYTE_BUCKETS), Timings(DURATION_BUCKETS)

    def admitted(self) -> None:
        """A reservation is durable."""
        self._admitted += 1

    def refused(self, error: WwwserveError) -> None:
        """A request got an error."""
        self._refused[error.code()] += 1

    def first_byte(self, seconds: float) -> None:
        """From the arrival to the first event or body of the engine."""
        self._first_byte.observe(seconds)

    def closed(self, outcome: Outcome, seconds: float) -> None:
        """A receipt is durable."""
        self._receipts[outcome.status.name.lower()] += 1
        self._charged += outcome.charge
        self._prompt += outcome.tokens.prompt
        self._completion += outcome.tokens.completion
        self._duration.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield _counter("admitted", "Reservations made durable", self._admitted)
        yield _counters("refused", "Requests answered with an error", "code", self._refused)
        yield _counters("receipts", "Receipts by status", "status", self._receipts)
        yield _counter("charged_base_units", "Charged, in base units", self._charged)
        tokens = Tally({"prompt": self._prompt, "completion": self._completion})
        yield _counters("tokens", "Billed LLM tokens", "kind", tokens)
        yield self._first_byte.family("first_byte_seconds", "Arrival to first event")
        yield self._duration.family("request_seconds", "Admission to durable receipt")


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _counters(name: str, text: str, label: str, values: Tally[str]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


class _Membership(Collector):
    """The network as this node sees it."""

    def __init__(self, tally: MembershipTally, members: Callable[[], Iterable[Member]]) -> None:
        self._tally, self._members = tally, members

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        states = GaugeMetricFamily(PREFIX + "members", "Registered providers by liveness", labels=["state"])
        found = Tally(member.state for member in self._members())
        for state in Liveness:
            states.add_metric([state.value], found[state])
        yield states
        dropped = Tally({why.value: self._tally.dropped[why] for why in Dropped})
        yield _counters("gossip_dropped", "Packets, rumours and bids ignored", "reason", dropped)
        events = Tally({event.value: self._tally.events[event] for event in Event})
        yield _counters("membership_events", "Probes, suspicions, deaths, refutations", "event", events)


class Metrics(ServeTallies):
    """The serve path's tallies, jobs and gauges of one node."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._jobs = Counter(PREFIX + "jobs", "Background runs", ["job", "outcome"], registry=self.registry)

    def job_ran(self, job: str, outcome: str) -> None:
        """A background job ended: ok, unavailable or failed."""
        self._jobs.labels(job, outcome).inc()

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """A gauge that is read when asked for."""
        gauge = Gauge(PREFIX + "in_flight", "Requests in service", registry=self.registry)
        gauge.set_function(count)

    def watch_membership(self, tally: MembershipTally, members: Callable[[], Iterable[Member]]) -> None:
        """Members by state, what was dropped and what happened, read when asked for."""
        self.registry.register(_Membership(tally, members))

    def page(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type."""
        if "openmetrics" in accept:
            return bytes(generate_openmetrics(self.registry)), CONTENT_TYPE  # type: ignore[no-untyped-call]
        return generate_latest(self.registry), "text/plain; version=0.0.4; charset=utf-8"
