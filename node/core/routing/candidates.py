"""Walking the draw: who is asked for a bid, and why everybody before was not. An auditor re-checks the record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
from node.core.routing.draw import Seats
from node.core.routing.types import RouteRequest, Skip
from node.core.types import Address


@dataclass(frozen=True, slots=True)
class Skipped:
    """One provider of the order that was passed over."""

    provider: Address
    reason: Skip


@dataclass(frozen=True, slots=True)
class Candidates:
    """The outcome of a walk: whom to ask, in drawn order, and the skips in between."""

    chosen: tuple[Address, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """What the dispatcher knows that decides skips; `know` adds liveness, models, price and backing off."""

    me: Address
    request: RouteRequest
    config: ProviderConfig
    know: Callable[[Address], Skip | None]


def choose_candidates(order: Iterable[Address], walk: Walk, count: int, seats: Seats | None = None) -> Candidates:
    """The first of the order that nothing speaks against: `count` of them, or with `seats` who gets `count` seats."""
    chosen: list[Address] = []
    skipped: list[Skipped] = []
    coming = iter(order)
    while count > 0:
        if seats is not None and seats.falls_again():
            count -= 1
            continue
        provider = next(coming, None)
        if provider is None:
            break
        reason = _reason_to_skip(provider, walk)
        if seats is not None:
            seats.note(provider, is_held=reason is None)
        if reason is not None:
            skipped.append(Skipped(provider, reason))
            continue
        chosen.append(provider)
        count -= 1
    return Candidates(tuple(chosen), tuple(skipped))


def _reason_to_skip(provider: Address, walk: Walk) -> Skip | None:
    if provider == walk.me:
        return Skip.SELF
    if provider in walk.request.path:
        return Skip.ON_PATH
    named = walk.request.demands.named
    if named and provider not in named:
        return Skip.NOT_NAMED
    if provider in walk.config.blocklist:
        return Skip.BLOCKLISTED
    return walk.know(provider)
