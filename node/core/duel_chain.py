"""What `Duels.sol` hashes and draws, byte for byte: ids, commitments, the judges' and the opponent's draw.

Pure, so that a node finds its opponent before the chain may know it, and anybody re-checks a draw later.
"""

from bisect import bisect_right
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate

from node.core.duels import Vote
from node.core.hashing import address_word, keccak, word
from node.core.types import Address, Bytes32

TRIES_PER_SEAT = 16
"""A seat drawn for somebody excluded is drawn again, this often on average; then there is no jury."""


@dataclass(frozen=True, slots=True)
class Court:
    """The contract whose hashes these are."""

    chain_id: int
    address: Address

    @property
    def words(self) -> bytes:
        """The head of everything that binds itself to one contract on one chain."""
        return word(self.chain_id) + address_word(self.address)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A member in a snapshot. A snapshot lists the members in the order of their places."""

    provider: Address
    controller: Address
    weight: int


def duel_id(payer: Address, request_id: Bytes32) -> Bytes32:
    """One duel a request, for ever."""
    return keccak(address_word(payer) + request_id)


def seed_commitment(court: Court, dispatcher: Address, epoch: int, seed: Bytes32) -> Bytes32:
    """What a dispatcher publishes an epoch ahead. It binds all that it could be copied to."""
    return keccak(court.words + address_word(dispatcher) + word(epoch) + seed)


def seat_seed(block_hash: Bytes32, duel: Bytes32) -> Bytes32:
    """The seed of a duel's judges: a block that was in the future when the duel was opened (D7)."""
    return keccak(block_hash + duel)


@dataclass(frozen=True, slots=True)
class Ballot:
    """A judge's vote with what hides it until it is revealed."""

    judge: Address
    vote: Vote
    salt: Bytes32
    rationale_hash: Bytes32


def vote_commitment(court: Court, duel: Bytes32, ballot: Ballot) -> Bytes32:
    """The judge is part of it: who copies it cannot reveal it (D9)."""
    vote = word(ballot.vote) + ballot.salt + ballot.rationale_hash
    return keccak(court.words + duel + address_word(ballot.judge) + vote)


def drawn(snapshot: Sequence[Weighed], seed: Bytes32, number: int) -> Weighed:
    """Draw number `number`, in proportion to weight. The snapshot must weigh something."""
    sums = list(accumulate(member.weight for member in snapshot))
    point = int.from_bytes(keccak(seed + word(number)), "big") % sums[-1]
    return snapshot[bisect_right(sums, point)]


MOST_ATTEMPTS = 8
"""Draws of an opponent that the contract allows: with many to choose from, one names whom the dispatcher likes (D6)."""


def draw_opponent(
    snapshot: Sequence[Weighed], seed: Bytes32, request: tuple[Bytes32, Bytes32], attempt: int
) -> Weighed:
    """The second executor. `request` is (request id, the first executor's nonce commitment).

    `attempt` counts the earlier draws that could not serve the model or belonged to a party's controller.
    """
    return drawn(snapshot, keccak(seed + request[0] + request[1]), attempt)


def draw_seats(
    snapshot: Sequence[Weighed], seed: Bytes32, excluded: AbstractSet[Address], count: int
) -> tuple[Weighed, ...]:
    """Judges with replacement (D2), nobody of an excluded controller. Empty if the contract would find no jury."""
    if not any(member.weight for member in snapshot):
        return ()
    tries = (drawn(snapshot, seed, number) for number in range(count * TRIES_PER_SEAT))
    seats = [member for member in tries if member.controller not in excluded][:count]
    return tuple(seats) if len(seats) == count else ()
