"""What a dispatcher has learned about a peer from the work it did: promises are compared with deeds.

A peer that claims to be idle and fast and is not gets its later bids corrected by its own record, so it loses work
within a few requests; one that fails is left alone for a while. Local memory only, never gossip: nobody can
slander anybody.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp, log

from node.core.routing.types import Bid, Forecast

PRIOR_WEIGHT = 4.0
"""Imaginary kept promises a newcomer starts with, so that one slow answer condemns nobody."""
MEMORY = 0.95
"""Weight kept by the past per request: about twenty requests."""
LARGEST_LOG = 5.0
"""One answer counts as at most e^5 = 150 times too slow."""
SLACK_SECONDS = 0.25
"""Added to promise and deed alike: a network's jitter is no broken promise."""
FIRST_BACKOFF_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 120.0
MOST_DOUBLINGS = 6
"""After so many the longest is reached."""


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Weighted sum of log(measured / promised) and its weight; failures in a row and until when to leave it alone."""

    log_sum: float = 0.0
    weight: float = 0.0
    failures: int = 0
    avoid_until: float = 0.0

    def correction(self) -> float:
        """Factor on this peer's promised seconds. Never below one: modest claims need no reward."""
        return exp(max(self.log_sum / (self.weight + PRIOR_WEIGHT), 0.0))

    def is_avoided(self, now: float) -> bool:
        """Whether it failed too recently to be asked."""
        return now < self.avoid_until


NEWCOMER = PeerRecord()


def next_record_after_answer(record: PeerRecord, promised_seconds: float, measured_seconds: float) -> PeerRecord:
    """The record after an answer. Both times are for the answer's true length."""
    ratio = log((max(measured_seconds, 0.0) + SLACK_SECONDS) / (max(promised_seconds, 0.0) + SLACK_SECONDS))
    ratio = max(min(ratio, LARGEST_LOG), -LARGEST_LOG)
    return PeerRecord(record.log_sum * MEMORY + ratio, record.weight * MEMORY + 1.0)


def record_with_pending(record: PeerRecord, pending: Iterable[tuple[float, float]]) -> PeerRecord:
    """The record as it looks with answers under way: (seconds promised for what has arrived so far, seconds elapsed).

    A liar would otherwise collect work until its first answer ends. Only lateness counts before the end.
    """
    log_sum, weight = record.log_sum, record.weight
    for promised, elapsed in pending:
        ratio = log((elapsed + SLACK_SECONDS) / (promised + SLACK_SECONDS))
        if ratio > 0:
            log_sum += min(ratio, LARGEST_LOG)
            weight += 1.0
    return replace(record, log_sum=log_sum, weight=weight)


def next_record_after_failure(record: PeerRecord, now: float) -> PeerRecord:
    """The record after a refusal in bad faith, a time-out, or a broken stream: back off, twice as long each time."""
    doublings = min(record.failures, MOST_DOUBLINGS)  # a peer that never answers fails for ever, and 2.0**1024 raises
    seconds = min(FIRST_BACKOFF_SECONDS * 2.0**doublings, LONGEST_BACKOFF_SECONDS)
    return replace(record, failures=record.failures + 1, avoid_until=now + seconds)


def corrected_forecast(promise: Forecast, record: PeerRecord) -> Forecast:
    """The promise as it should be read: as (promise + slack) x factor - slack, which is how the record was made.

    With the factor alone, a promise of nothing would stay a promise of nothing whatever its record.
    """
    factor = record.correction()
    if factor == 1.0:
        return promise
    start = (promise.start_seconds + SLACK_SECONDS) * factor - SLACK_SECONDS
    return Forecast(start, promise.token_seconds * factor, promise.added_seconds * factor)


def corrected_finish_seconds(bid: Bid, record: PeerRecord, tokens: float) -> float:
    """When the bidder will really finish, as far as its record tells."""
    return corrected_forecast(bid.forecast, record).finish_seconds(tokens)


def scaled(promise: Forecast, factor: float) -> Forecast:
    """The promise of somebody whose answers are worth less, or more, than the seconds they take."""
    if factor == 1.0:
        return promise
    return Forecast(promise.start_seconds * factor, promise.token_seconds * factor, promise.added_seconds * factor)
