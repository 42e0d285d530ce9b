"""The facts routing decides on and the decisions it can make; nothing decides here.

Times are seconds as floats (estimates, never money); money is integer base units.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from node.core.types import Address, Amount, Bytes32


class Dice(Protocol):
    """Randomness as an argument. `random.Random` fits; tests pass a loaded one."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class Reason(StrEnum):
    """Why a decision was made. Logged, shown to the operator, counted by the simulator."""

    OWN_ENGINE_FREE = "own_engine_free"
    OWN_ENGINE_BEST = "own_engine_best"
    BELOW_TARGET = "below_target"
    OFFLOAD_FORBIDDEN = "offload_forbidden"
    NOBODY_ELSE = "nobody_else"
    HOP_LIMIT = "hop_limit"
    LOOK_FOR_BETTER = "look_for_better"
    BEST_BID = "best_bid"
    FIRST_ACCEPTED = "first_accepted"
    SHORTER_QUEUE = "shorter_queue"
    DICE = "dice"
    NO_SLOT = "no_slot"
    DEADLINE_OUT_OF_REACH = "deadline_out_of_reach"
    MODEL_NOT_HERE = "model_not_here"


class Skip(StrEnum):
    """Why a dispatcher passed over a provider of the draw, or a provider refused to bid. Stored for the auditor."""

    SELF = "self"
    SAME_CONTROLLER = "same_controller"
    ON_PATH = "on_path"
    NO_MODEL = "no_model"
    NOT_NAMED = "not_named"
    BLOCKLISTED = "blocklisted"
    DEAD = "dead"
    TIMED_OUT = "timed_out"
    BACKING_OFF = "backing_off"
    TOO_EXPENSIVE = "too_expensive"
    NO_COVER = "no_cover"
    REFUSED_DRAINING = "refused_draining"
    REFUSED_SCHEDULE = "refused_schedule"
    REFUSED_POLICY = "refused_policy"
    REFUSED_BUSY = "refused_busy"
    REFUSED_CONTEXT = "refused_context"
    REFUSED_PRICE = "refused_price"
    REFUSED_DEADLINE = "refused_deadline"


class Preference(StrEnum):
    """What the client asked bids to be ranked by."""

    LATENCY = "latency"
    PRICE = "price"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Demands:
    """What a client may demand of routing. Empty `named` = any provider."""

    no_offload: bool = False
    named: frozenset[Address] = frozenset()
    preference: Preference = Preference.LATENCY
    max_price: Amount | None = None
    quality: float | None = None
    """How much ratings weigh, 0 to 1; None = as the provider's policy says."""


NO_DEMANDS = Demands()


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """One request as routing sees it. `models` lists the acceptable model names, the asked one first."""

    request_id: Bytes32
    models: tuple[str, ...]
    prompt_tokens: int
    max_tokens: int
    finish_by: float | None = None
    """Seconds from now (the deadline is relative: no clock in core)."""
    path: tuple[Address, ...] = ()
    demands: Demands = NO_DEMANDS


@dataclass(frozen=True, slots=True)
class Forecast:
    """What serving one more request on an engine is expected to look like, in seconds from now.

    `added_seconds` is what the newcomer costs everybody already there, summed: the congestion it causes.
    """

    start_seconds: float
    token_seconds: float
    added_seconds: float

    def finish_seconds(self, tokens: float) -> float:
        """Expected end of an answer of `tokens` LLM tokens."""
        return self.start_seconds + tokens * self.token_seconds


@dataclass(frozen=True, slots=True)
class Bid:
    """A peer's offer for one request (signed by the live node): the most it would charge, and when it would finish."""

    provider: Address
    price: Amount
    forecast: Forecast
    in_flight: int
    has_slot: bool


@dataclass(frozen=True, slots=True)
class Here:
    """This node's own engine (best of several) as seen at decision time. `forecast` is None without a usable engine."""

    forecast: Forecast | None
    idle_finish_seconds: float
    usage: float
    in_flight: int
    has_slot: bool


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a policy may look at. `bids` is None before anyone was asked; then the acceptors in drawn order.

    `short_tokens` is the length that one answer in ten stays below: what a deadline is judged by, since refusing
    everybody whose mean is late would turn away many who would make it. None = the mean.
    """

    request: RouteRequest
    here: Here
    expected_tokens: float
    peers: int
    bids: tuple[Bid, ...] | None = None
    short_tokens: float | None = None

    def is_late(self, forecast: Forecast) -> bool:
        """Whether even a short answer would end after the request's deadline."""
        deadline = self.request.finish_by
        hoped = self.expected_tokens if self.short_tokens is None else self.short_tokens
        return deadline is not None and forecast.finish_seconds(hoped) > deadline


@dataclass(frozen=True, slots=True)
class ServeHere:
    """Hand the request to the own engine now."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """Keep it in the own queue, where it stays stealable, and decide again when something changes."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Ask:
    """Walk the draw and ask the first `count` live candidates for bids, then decide again."""

    count: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Offload:
    """Send it to the bidder."""

    bid: Bid
    reason: Reason


@dataclass(frozen=True, slots=True)
class Refuse:
    """Say no early (HTTP 429 with `Retry-After`) rather than late."""

    retry_after_seconds: float
    reason: Reason


Decision: TypeAlias = ServeHere | Wait | Ask | Offload | Refuse
