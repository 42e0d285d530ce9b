"""What was dropped and why, and what happened, as plain counts: the metrics page and the simulator read them."""

from collections import Counter
from enum import StrEnum


class Dropped(StrEnum):
    """Why a packet, or a part of one, was ignored."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    MISADDRESSED = "misaddressed"
    UNKNOWN_SENDER = "unknown_sender"
    STALE = "stale"
    REPLAYED = "replayed"
    FORGED = "forged"
    FLOODED = "flooded"
    RUMOUR_UNKNOWN_SUBJECT = "rumour_unknown_subject"
    RUMOUR_FORGED = "rumour_forged"
    RUMOUR_FLOODED = "rumour_flooded"
    BID_FORGED = "bid_forged"
    BID_STALE = "bid_stale"


class Event(StrEnum):
    """What happened."""

    PROBE_ANSWERED = "probe_answered"
    PROBE_FAILED = "probe_failed"
    SUSPECTED = "suspected"
    """By this node's own probe."""
    DIED = "died"
    REFUTED = "refuted"
    """This node had to say that it lives."""


class Tally:
    """Two counters."""

    def __init__(self) -> None:
        self.dropped: Counter[Dropped] = Counter()
        self.events: Counter[Event] = Counter()
