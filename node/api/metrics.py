"""Prometheus metrics of the serve path in a registry of their own. Names no payer, no id and no content (threat L5)."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from node.core.account import Outcome
from node.core.errors import WwwserveError
from node.core.types import Status

FIRST_BYTE_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
DURATION_BUCKETS = (0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """services.parts.Observer. Label children are looked up once, not per request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "wwwserve_"
        self._admitted = Counter(name + "admitted", "Reservations made durable", registry=self.registry)
        self._refused = Counter(name + "refused", "Requests answered with an error", ["code"], registry=self.registry)
        self._jobs = Counter(name + "jobs", "Background runs", ["job", "outcome"], registry=self.registry)
        receipts = Counter(name + "receipts", "Receipts by status", ["status"], registry=self.registry)
        self._receipts = {status: receipts.labels(status.name.lower()) for status in Status}
        self._charged = Counter(name + "charged_base_units", "Charged, in base units", registry=self.registry)
        tokens = Counter(name + "tokens", "Billed LLM tokens", ["kind"], registry=self.registry)
        self._prompt, self._completion = tokens.labels("prompt"), tokens.labels("completion")
        self._first_byte = Histogram(
            name + "first_byte_seconds", "Arrival to first event", buckets=FIRST_BYTE_BUCKETS, registry=self.registry
        )
        self._duration = Histogram(
            name + "request_seconds", "Admission to durable receipt", buckets=DURATION_BUCKETS, registry=self.registry
        )

    def job_ran(self, job: str, outcome: str) -> None:
        """A background job ended: ok, unavailable or failed."""
        self._jobs.labels(job, outcome).inc()

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """A gauge that is read when asked for."""
        gauge = Gauge("wwwserve_in_flight", "Requests in service", registry=self.registry)
        gauge.set_function(count)

    def admitted(self) -> None:
        """A reservation is durable."""
        self._admitted.inc()

    def refused(self, error: WwwserveError) -> None:
        """A request got an error."""
        self._refused.labels(error.code()).inc()

    def first_byte(self, seconds: float) -> None:
        """From the arrival to the first event or body of the engine."""
        self._first_byte.observe(seconds)

    def closed(self, outcome: Outcome, seconds: float) -> None:
        """A receipt is durable."""
        self._receipts[Status(outcome.status)].inc()
        self._charged.inc(outcome.charge)
        self._prompt.inc(outcome.tokens.prompt)
        self._completion.inc(outcome.tokens.completion)
        self._duration.observe(seconds)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type."""
        if "openmetrics" in accept:
            return bytes(generate_openmetrics(self.registry)), CONTENT_TYPE  # type: ignore[no-untyped-call]
        return generate_latest(self.registry), "text/plain; version=0.0.4; charset=utf-8"
