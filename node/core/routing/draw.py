"""The stake-weighted order of all providers for one request, which anyone can re-check (and no one can choose).

The order is successive sampling without replacement. Draw number i is keccak(seed || i) reduced by the stake that is
left, looked up in prefix sums over the providers sorted by address. Building the table is O(n log n) once a snapshot;
the first ten draws cost microseconds. How many of the order are asked is counted in seats drawn with replacement:
exactly linear in stake, so that splitting a stake over many identities gains nothing (D1).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import accumulate

from node.core.hashing import keccak, word
from node.core.types import Address, Amount, Bytes32

REBUILD_AFTER = 64
"""Draws between two rebuilds of the sums of what is left: keeps the walk over the removed short. Order unaffected."""


SEATS_DOMAIN = b"wwwserve seats"


def draw_seed(request_id: Bytes32, market: Bytes32, dispatcher: Address) -> Bytes32:
    """Fixed by the client (id), the market (its domain separator) and the dispatcher's identity.

    No block in it: the client knows the newest one and grinds its id all the same, and the dispatcher, who cannot,
    would have one seed to choose from for every block that passes as recent.
    """
    return keccak(request_id + market + dispatcher)


class StakeTable:
    """An immutable snapshot of who has how much stake, with its prefix sums. Zero stake is never drawn."""

    __slots__ = ("_addresses", "_sums")

    def __init__(self, stakes: Iterable[tuple[Address, Amount]]) -> None:
        rows: list[tuple[Address, int]] = sorted((address, stake) for address, stake in stakes if stake > 0)
        self._addresses = [address for address, _ in rows]
        self._sums = list(accumulate(stake for _, stake in rows))

    def __len__(self) -> int:
        return len(self._addresses)

    @property
    def total(self) -> Amount:
        """All stake in the table."""
        return Amount(self._sums[-1] if self._sums else 0)

    def stake_of(self, address: Address) -> Amount:
        """Its stake; it must be in the table."""
        index = bisect_left(self._addresses, address)
        return Amount(self._sums[index] - (self._sums[index - 1] if index else 0))

    def without(self, excluded: AbstractSet[Address]) -> "StakeTable":
        """The same snapshot less those (for judges: parties and their controllers)."""
        return StakeTable(
            (address, Amount(self._sums[index] - (self._sums[index - 1] if index else 0)))
            for index, address in enumerate(self._addresses)
            if address not in excluded
        )

    def owner_of(self, seed: Bytes32, number: int) -> Address:
        """Draw number `number` with replacement. The table must not be empty."""
        point = int.from_bytes(keccak(seed + word(number)), "big") % self._sums[-1]
        return self._addresses[bisect_right(self._sums, point)]

    def order(self, seed: Bytes32) -> Iterator[Address]:
        """Every provider once, in the order the seed gives. Lazy: take only as many as needed."""
        addresses, sums = self._addresses, self._sums
        removed: list[tuple[int, int, int]] = []
        for number in range(len(self._addresses)):
            if len(removed) == REBUILD_AFTER:
                addresses, sums = _without(addresses, sums, {index for _, _, index in removed})
                removed = []
            left = sums[-1] - sum(stake for _, stake, _ in removed)
            point = int.from_bytes(keccak(seed + word(number)), "big") % left
            index = _locate(sums, removed, point)
            start = sums[index - 1] if index else 0
            removed.append((start, sums[index] - start, index))
            removed.sort()
            yield addresses[index]


class Seats:
    """The seats of a draw with replacement, for a walk along the order: whether the next falls on a holder again.

    Drawing with replacement is drawing without, and throwing before each new one whether the seat falls on somebody
    who has one already. Were every candidate another one, a stake in one name could win one seat and in many names
    several (D1). The order stays whole, whatever the throws.
    """

    __slots__ = ("_held", "_left", "_seed", "_table", "_throws")

    def __init__(self, table: StakeTable, seed: Bytes32) -> None:
        self._table = table
        self._seed = keccak(seed + SEATS_DOMAIN)
        self._left: int = table.total
        self._held = 0
        self._throws = 0

    def falls_again(self) -> bool:
        """Throw for one seat: True costs it and asks nobody new."""
        if not self._held:
            return False
        point = int.from_bytes(keccak(self._seed + word(self._throws)), "big") % self._left
        self._throws += 1
        return point < self._held

    def note(self, address: Address, *, is_held: bool) -> None:
        """The next of the order was looked at: it has a seat now, or no seat falls on it."""
        stake = self._table.stake_of(address)
        self._held += stake if is_held else 0
        self._left -= 0 if is_held else stake

    def rise(self) -> None:
        """All who had seats said no: the next seats are drawn among the others."""
        self._left -= self._held
        self._held = 0


def _locate(sums: list[int], removed: list[tuple[int, int, int]], point: int) -> int:
    """The provider that owns `point` on the line of the stakes that are left (the removed ones cut out)."""
    for start, stake, _ in removed:
        if start > point:
            break
        point += stake
    return bisect_right(sums, point)


def _without(addresses: list[Address], sums: list[int], gone: set[int]) -> tuple[list[Address], list[int]]:
    kept = [index for index in range(len(addresses)) if index not in gone]
    stakes = (sums[index] - (sums[index - 1] if index else 0) for index in kept)
    return [addresses[index] for index in kept], list(accumulate(stakes))
