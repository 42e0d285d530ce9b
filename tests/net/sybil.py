"""What one provider's share of work is in one name and split over twenty: draws, candidates, the best bid wins.

A quarter of all stake stands against thirty equal strangers. Every engine bids at random; the twenty names have one
engine, so they bid the same. Pure: the walk is the live node's (core.routing).
"""

from dataclasses import dataclass
from random import Random

from node.core.hashing import keccak, word
from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import Seats, StakeTable, draw_seed
from node.core.routing.types import RouteRequest
from node.core.types import Address, Amount, Bytes32

NAMES = 20
SHARE = 0.25
SEATS = 3
DISPATCHER = Address(b"\x05" * 20)
OTHERS = tuple((Address(keccak(b"other" + word(n))[:20]), Amount(1_000)) for n in range(30))
STAKE = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """A share of work won, with half the width of its 95 % interval."""

    share: float
    noise: float


def measure(draws: int, *, with_seats: bool = True) -> tuple[Share, Share]:
    """In one name, and in twenty."""
    return _share(draws, 1, with_seats=with_seats), _share(draws, NAMES, with_seats=with_seats)


def _share(draws: int, names: int, *, with_seats: bool) -> Share:
    mine = {Address(keccak(b"mine" + word(n))[:20]) for n in range(names)}
    table = StakeTable([*OTHERS, *((address, Amount(STAKE // names)) for address in mine)])
    dice, won = Random(names), 0
    for n in range(draws):
        request_id = Bytes32(keccak(word(names) + word(n)))
        seed = draw_seed(request_id, Bytes32(b"\x09" * 32), DISPATCHER)
        walk = Walk(DISPATCHER, RouteRequest(request_id, ("any",), 1, 1), ProviderConfig(), lambda _: None)
        seats = Seats(table, seed) if with_seats else None
        asked = choose_candidates(table.order(seed), walk, SEATS, seats).chosen
        engines = {b"mine" if address in mine else bytes(address) for address in asked}
        won += min(sorted(engines), key=lambda _: dice.random()) == b"mine"
    share = won / draws
    return Share(share, 1.96 * (share * (1 - share) / draws) ** 0.5)
