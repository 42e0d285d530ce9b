"""Walking the draw: who is asked for a bid, and why everybody before was not. An auditor re-checks the record."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from node.core.routing.config import ProviderConfig
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


def choose_candidates(order: Iterable[Address], walk: Walk, count: int) -> Candidates:
    """The first `count` of the order that nothing speaks against."""
    chosen: list[Address] = []
    skipped: list[Skipped] = []
    for provider in order:
        reason = _reason_to_skip(provider, walk)
        if reason is not None:
            skipped.append(Skipped(provider, reason))
            continue
        chosen.append(provider)
        if len(chosen) == count:
            break
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
