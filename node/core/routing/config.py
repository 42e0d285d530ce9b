"""A provider's own policy settings, validated once when they are read (at start and at each hot reload).

Never reads a file: the caller parses TOML or JSON and hands the table over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from node.core.errors import Refused
from node.core.types import Address, Amount

MINUTES_A_DAY = 24 * 60
ADDRESS_BYTES = 20


class BadProviderConfig(Refused):
    """A policy setting is unknown or out of range; the old settings stay in force."""


@dataclass(frozen=True, slots=True)
class ServeHours:
    """A daily window in UTC minutes in which peers are served; it may run over midnight (start > end)."""

    start_minute: int
    end_minute: int

    def covers(self, minute: int) -> bool:
        """Whether that minute of the day lies in the window (start inclusive, end exclusive)."""
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


# Above its user: the paper's settings below are built when the module is read.
def _check_range(name: str, given: float, low: float, high: float) -> None:
    if not low <= given <= high:
        raise BadProviderConfig(f"{name}: {given} is not within {low} and {high}", setting=name)


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """How this provider takes part. Frequencies and usages are shares in [0, 1]; 0 in a limit means "no limit"."""

    policy: str = "adaptive"
    offload_frequency: float = 1.0
    queue_frequency: float = 1.0
    accept_frequency: float = 1.0
    target_usage: float = 0.7
    candidates: int = 3
    distinct_candidates: bool = False
    hop_limit: int = 2
    ask_above_slowdown: float = 1.03
    congestion_weight: float = 1.0
    price_weight: float = 0.5
    quality_weight: float = 0.3
    standing_bids: bool = True
    minimum_price: Amount = Amount(0)
    models: frozenset[str] = frozenset()
    max_context: int = 0
    max_concurrency: int = 0
    daily_offload_budget: Amount = Amount(0)
    offload_margin: float = 0.1
    serve_hours: tuple[ServeHours, ...] = ()
    blocklist: frozenset[Address] = frozenset()
    own_users_first: bool = True
    draining: bool = False
    refuse_late: bool = True

    def __post_init__(self) -> None:
        for name in ("offload_frequency", "queue_frequency", "accept_frequency", "target_usage"):
            _check_range(name, getattr(self, name), 0.0, 1.0)
        _check_range("candidates", self.candidates, 1, 64)
        _check_range("hop_limit", self.hop_limit, 1, 8)
        _check_range("ask_above_slowdown", self.ask_above_slowdown, 1.0, 100.0)
        _check_range("congestion_weight", self.congestion_weight, 0.0, 10.0)
        _check_range("price_weight", self.price_weight, 0.0, 1.0)
        _check_range("quality_weight", self.quality_weight, 0.0, 1.0)
        _check_range("offload_margin", self.offload_margin, 0.0, 100.0)
        for name in ("minimum_price", "max_context", "max_concurrency", "daily_offload_budget"):
            _check_range(name, getattr(self, name), 0, 2**128 - 1)
        for window in self.serve_hours:
            _check_range("serve_hours", window.start_minute, 0, MINUTES_A_DAY)
            _check_range("serve_hours", window.end_minute, 0, MINUTES_A_DAY)
        if any(len(blocked) != ADDRESS_BYTES for blocked in self.blocklist):
            raise BadProviderConfig("blocklist: every entry must be a 20-byte address", setting="blocklist")

    def serves_peers_at(self, unix_seconds: float) -> bool:
        """Whether the schedule lets peers in now. No windows = always."""
        minute = int(unix_seconds // 60) % MINUTES_A_DAY
        return not self.serve_hours or any(window.covers(minute) for window in self.serve_hours)


PAPER = ProviderConfig(
    policy="paper",
    offload_frequency=0.8,
    queue_frequency=0.2,
    accept_frequency=0.8,
    target_usage=0.7,
    candidates=3,
    distinct_candidates=True,
    standing_bids=False,
)
"""WWW.Serve's published settings (arXiv 2603.20661)."""


def build_config(settings: Mapping[str, object], base: ProviderConfig | None = None) -> ProviderConfig:
    """Settings as a provider writes them (lists, "22:00-06:00", "0x..") over `base`. Unknown names are refused."""
    known = {field.name for field in fields(ProviderConfig)}
    for name in settings:
        if name not in known:
            raise BadProviderConfig(f"unknown policy setting {name!r}", setting=name)
    values = {name: _parse(name, given) for name, given in settings.items()}
    try:
        return replace(base or ProviderConfig(), **values)  # type: ignore[arg-type]  # checked by __post_init__
    except TypeError as exc:
        raise BadProviderConfig("a policy setting has the wrong type") from exc


def _parse(name: str, given: object) -> object:
    if name == "models":
        return frozenset(str(model) for model in _as_list(name, given))
    if name == "serve_hours":
        return tuple(_parse_hours(str(window)) for window in _as_list(name, given))
    if name == "blocklist":
        return frozenset(_parse_address(str(entry)) for entry in _as_list(name, given))
    default = getattr(ProviderConfig(), name)
    if isinstance(default, bool) != isinstance(given, bool):
        raise BadProviderConfig(f"{name}: expected {type(default).__name__}", setting=name)
    if isinstance(default, int) and not isinstance(given, int):
        raise BadProviderConfig(f"{name}: expected a whole number", setting=name)
    return given


def _as_list(name: str, given: object) -> list[object]:
    if not isinstance(given, list | tuple):
        raise BadProviderConfig(f"{name}: expected a list", setting=name)
    return list(given)


def _parse_hours(text: str) -> ServeHours:
    try:
        start, end = (_minutes(part) for part in text.split("-"))
    except ValueError as exc:
        raise BadProviderConfig(f"serve_hours: {text!r} is not HH:MM-HH:MM", setting="serve_hours") from exc
    return ServeHours(start, end)


def _minutes(text: str) -> int:
    hours, minutes = text.strip().split(":")
    return int(hours) * 60 + int(minutes)


def _parse_address(text: str) -> Address:
    try:
        return Address(bytes.fromhex(text.removeprefix("0x")))
    except ValueError as exc:
        raise BadProviderConfig(f"blocklist: {text!r} is not an address", setting="blocklist") from exc
