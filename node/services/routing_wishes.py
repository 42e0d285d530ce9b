"""What a client may demand of routing, in the body's `wwwserve` member: it is signed with the body (requestHash).

{"wwwserve": {"finish_within": 20, "prefer": "price", "providers": ["0x.."]}}; a client library that allows more members
(`extra_body` of the openai package) can send it. Checks shapes only.
"""

from dataclasses import dataclass

from node.core.errors import BadRequest, BadVoucher
from node.core.routing.types import Preference
from node.core.types import ZERO_ADDRESS, Address
from node.core.wire import address_of

LONGEST_SECONDS = 86_400.0
MOST_NAMED = 64
MOST_HOPS = 8


@dataclass(frozen=True, slots=True)
class Wishes:
    """`finish_within` seconds from arrival on, None = no deadline; empty `providers` = any."""

    finish_within: float | None = None
    prefer: Preference = Preference.LATENCY
    providers: frozenset[Address] = frozenset()
    quality: float | None = None
    """0 to 1: how much ratings from duels weigh; None = as the provider's policy says."""
    path: tuple[Address, ...] = ()
    """The nodes that the request has passed, the buyer last: only nodes say that (threat H8)."""


NO_WISHES = Wishes()
_KNOWN = frozenset({"finish_within", "prefer", "providers", "quality", "path"})


def parse_wishes(value: object) -> Wishes:
    """Raises BadRequest naming the member."""
    if value is None:
        return NO_WISHES
    if not isinstance(value, dict) or value.keys() - _KNOWN:
        raise BadRequest(f"wwwserve must be an object with {', '.join(sorted(_KNOWN))}", param="wwwserve")
    return Wishes(
        _finish(value.get("finish_within")),
        _prefer(value.get("prefer")),
        _named(value.get("providers")),
        _quality(value.get("quality")),
        _path(value.get("path")),
    )


def way_of(hops: int, said: tuple[Address, ...]) -> tuple[Address, ...]:
    """The nodes a request came by: as its buyer signed them in the body, as many as its hops."""
    return said if len(said) == hops else (ZERO_ADDRESS,) * hops


def _finish(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SECONDS:
        raise BadRequest("wwwserve.finish_within must be a number of seconds above 0", param="wwwserve")
    return float(value)


def _path(value: object) -> tuple[Address, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_HOPS:
        raise BadRequest(f"wwwserve.path must be a list of at most {MOST_HOPS} addresses", param="wwwserve")
    try:
        return tuple(address_of(one, "path") for one in value)
    except BadVoucher as exc:
        raise BadRequest(exc.message, param="wwwserve") from exc


def _quality(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRequest("wwwserve.quality must be a number from 0 to 1", param="wwwserve")
    return float(value)


def _prefer(value: object) -> Preference:
    if value is None:
        return Preference.LATENCY
    if value not in set(Preference):
        raise BadRequest(f"wwwserve.prefer must be one of {', '.join(Preference)}", param="wwwserve")
    return Preference(str(value))


def _named(value: object) -> frozenset[Address]:
    if value is None:
        return frozenset()
    if not isinstance(value, list) or len(value) > MOST_NAMED:
        raise BadRequest(f"wwwserve.providers must be a list of at most {MOST_NAMED} addresses", param="wwwserve")
    try:
        return frozenset(address_of(one, "providers") for one in value)
    except BadVoucher as exc:
        raise BadRequest(exc.message, param="wwwserve") from exc
