"""The court's books: members, weights, seeds, duels and balances of the Duels contract, as the events rebuild them.

State and draws only; `fold_duels` applies the events, `duel_money` ends the duels.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from node.audit.crypto import ZERO20, keccak
from node.audit.events import Event
from node.audit.findings import Report
from node.audit.stakes import Stakes

JUDGES, JURY = 5, 15
MOST_ATTEMPTS = 8
TRIES_PER_SEAT = 16
PER_MILLE = 1000
SEAT_BITS = 16
OPENED, JUDGING, APPEALED, RETRIAL, FIRST_WON, SECOND_WON, TIED, VOIDED = range(1, 9)
STATES = ("none", "opened", "judging", "appealed", "retrial", "first won", "second won", "tied", "voided")
VOTES = ("-", "first", "second", "tie", "no evidence")


@dataclass(frozen=True, slots=True)
class CourtRules:
    """Windows in seconds, `draw_delay` in blocks, amounts in base units: as the contract's views give them."""

    chain_id: int
    address: bytes
    epoch: int
    commit: int
    reveal: int
    appeal: int
    draw_delay: int
    bond: int
    appeal_bond: int
    judge_fee: int
    loser_slash: int
    minority_slash: int
    silent_slash: int
    fault_slash: int
    weight_unit: int
    least_stake: int

    def bound(self, *parts: bytes | int) -> bytes:
        """The hash of words that belong to this contract on this chain alone."""
        return keccak(words(self.chain_id, self.address, *parts))


@dataclass(slots=True)
class Member:
    """Who can be drawn."""

    provider: bytes
    controller: bytes
    delegate: bytes = ZERO20
    is_active: bool = True
    weight: int = 0


@dataclass(slots=True)
class Seed:
    """A dispatcher's sampling seed of one epoch."""

    commitment: bytes
    rate: int
    seed: bytes = b""


@dataclass(slots=True)
class Trial:
    """One bench; seats are counted from 0."""

    draw_block: int
    epoch: int
    size: int
    drawn_at: int = 0
    places: tuple[int, ...] = ()
    judges: tuple[bytes, ...] = ()
    commitments: dict[int, bytes] = field(default_factory=dict)
    votes: dict[int, int] = field(default_factory=dict)

    @property
    def verdict(self) -> int:
        """Enough equal votes decide, enough "no evidence" voids."""
        needed, voiding = (4, 3) if self.size == JUDGES else (10, 9)
        cast = list(self.votes.values())
        if cast.count(4) >= voiding:
            return VOIDED
        if cast.count(1) >= needed:
            return FIRST_WON
        return SECOND_WON if cast.count(2) >= needed else TIED


@dataclass(slots=True)
class Duel:
    """One duel."""

    duel_id: bytes
    dispatcher: bytes
    first: bytes
    second: bytes
    request_id: bytes
    nonce: bytes
    attempt: int
    prize: int
    trial: Trial
    opened: Event
    model: bytes = b""
    size: int = 0
    state: int = OPENED
    appellant: bytes = ZERO20
    retrial: Trial | None = None
    paid: dict[bytes, int] = field(default_factory=dict)
    taken: dict[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueSlash:
    """What the registry must take next for a duel or fault, in the block of its verdict. Of `asked`, `paid` is paid."""

    block: int
    culprit: bytes
    paid: int
    asked: int
    duel: Duel | None


@dataclass(slots=True)
class Court:
    """All of the contract's state. `hashes`: of draw blocks; `calls`: sender and input of transactions to it."""

    rules: CourtRules
    report: Report
    stakes: Stakes
    hashes: Mapping[int, bytes]
    calls: Mapping[bytes, tuple[bytes, bytes]]
    members: dict[int, Member] = field(default_factory=dict)
    places: dict[bytes, int] = field(default_factory=dict)
    weights: list[tuple[int, int, int]] = field(default_factory=list)
    adopted: set[tuple[bytes, bytes]] = field(default_factory=set)
    seeds: dict[tuple[bytes, int], Seed] = field(default_factory=dict)
    duels: dict[bytes, Duel] = field(default_factory=dict)
    proven: set[tuple[int, bytes]] = field(default_factory=set)
    balances: dict[bytes, int] = field(default_factory=dict)
    burnt: int = 0
    unnamed: int = 0
    """Bounties of reporters that called through another contract: no event names them."""
    unopened: int = 0
    """Votes revealed through another contract: their salts are not to be seen."""
    due: deque[DueSlash] = field(default_factory=deque)

    def credit(self, account: bytes, amount: int) -> None:
        """Add to (or, negative, take from) a balance."""
        self.balances[account] = self.balances.get(account, 0) + amount

    def slashable(self, provider: bytes) -> int:
        """All that can be taken of a stake now."""
        state = self.stakes.providers.get(provider)
        return state.stake + state.unbonding if state else 0

    def controller_of(self, provider: bytes) -> bytes:
        """Who stands behind it; nobody for a stranger."""
        member = self.members.get(self.places.get(provider, 0))
        return member.controller if member else ZERO20

    def draw(self, epoch: int, points: list[bytes]) -> list[int]:
        """The places on which these hashes fall in the snapshot at the end of `epoch`; empty if it weighs nothing."""
        last = {place: weight for at, place, weight in self.weights if at <= epoch}
        order = sorted(last)
        sums = list(accumulate(last[place] for place in order))
        if not sums or not sums[-1]:
            return []
        return [order[bisect_right(sums, int.from_bytes(point, "big") % sums[-1])] for point in points]

    def bench(self, duel: Duel, trial: Trial, block_hash: bytes) -> tuple[int, ...]:
        """The places that must be drawn: with replacement, nobody of a party's controller."""
        seed = keccak(block_hash + duel.duel_id)
        points = [keccak(words(seed, number)) for number in range(trial.size * TRIES_PER_SEAT)]
        parties = {self.controller_of(party) for party in (duel.dispatcher, duel.first, duel.second)}
        found = [p for p in self.draw(trial.epoch - 1, points) if self.members[p].controller not in parties]
        return tuple(found[: trial.size])

    @property
    def owed(self) -> int:
        """What the contract must hold: balances, what is burnt, the bonds of all that is not over."""
        bonds = sum(self.rules.bond for duel in self.duels.values() if duel.state < FIRST_WON)
        bonds += sum(self.rules.appeal_bond for duel in self.duels.values() if duel.state in (APPEALED, RETRIAL))
        return sum(self.balances.values()) + self.unnamed + self.burnt + bonds


def words(*parts: bytes | int) -> bytes:
    """ABI words of static values."""
    return b"".join(part.to_bytes(32, "big") if isinstance(part, int) else part.rjust(32, b"\x00") for part in parts)
