"""Whom to probe next, and what became of the probes under way. Sends nothing itself.

A probe goes to one member a period, in shuffled rounds, so that nobody waits longer than a round for its turn and the
cost does not grow with the network. It fails when neither the member nor any helper says otherwise in time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.core.membership.table import Entry, Table
from node.core.routing.types import Dice
from node.core.types import ZERO_ADDRESS, Address

TRIES = 8
"""Random picks before a scan: enough unless most of the network is gone."""


@dataclass(slots=True)
class Probe:
    """One probe: the direct one and its helpers'. `open` counts answers still awaited."""

    target: Address
    ask_at: float
    deadline: float
    open: int = 1
    asked: int = 0
    heard: int = 0
    """Helpers who answered at all: this node is not cut off."""
    is_over: bool = False

    @property
    def has_asked(self) -> bool:
        """Whether helpers are at work (or there were none to ask)."""
        return self.ask_at == float("inf")


class Rounds:
    """The order of probing, and random members for other purposes. `me` is never chosen."""

    def __init__(self, me: Address, table: Table, dice: Dice) -> None:
        self._me, self._table, self._dice = me, table, dice
        self._round: list[Address] = []
        self._placed: set[Address] = set()
        """Who has, or had, a turn in this round: one that leaves and lives again by turns would get all of them."""
        self._others: list[Address] = []
        self._urgent: dict[Address, float] = {}

    def renew(self) -> None:
        """The registry has changed."""
        self._others = [entry.registered.payee for entry in self._table if entry.registered.payee != self._me]

    def enter(self, payee: Address) -> None:
        """It is in touch again: it gets a turn in the present round, at a random place, unless it had one."""
        if payee in self._placed:
            return
        self._placed.add(payee)
        self._round.insert(int(self._dice.random() * (len(self._round) + 1)), payee)

    def hurry(self, payee: Address, due: float) -> None:
        """Probe it before its turn."""
        self._urgent.setdefault(payee, due)

    def next_urgent(self, now: float) -> Address | None:
        """One whose time has come."""
        due = next((payee for payee, at in self._urgent.items() if at <= now), None)
        if due is not None:
            del self._urgent[due]
        return due if due is None or self._table.find(due) else None

    def next_target(self) -> Address | None:
        """Its turn in this round; None when nobody is in touch."""
        for _ in range(2):
            while self._round:
                entry = self._table.find(self._round.pop())
                if entry is not None and entry.is_in_touch:
                    return entry.registered.payee
            self._round = [payee for payee in self._others if self._is(payee, _in_touch)]
            self._placed = set(self._round)
            self._shuffle(self._round)
        return None

    def next_lost(self) -> Address | None:
        """Somebody believed dead, or never heard of."""
        return self.pick(lambda entry: not entry.is_in_touch)

    def any_one(self) -> Address:
        """Anybody; zero when there is nobody else."""
        count = len(self._others)
        return self._others[int(self._dice.random() * count)] if count else ZERO_ADDRESS

    def pick(self, fits: Callable[[Entry], bool]) -> Address | None:
        """Any one that fits, at random."""
        count = len(self._others)
        for _ in range(TRIES if count else 0):
            payee = self._others[int(self._dice.random() * count)]
            if self._is(payee, fits):
                return payee
        start = int(self._dice.random() * count)
        return next((p for p in self._others[start:] + self._others[:start] if self._is(p, fits)), None)

    def pick_some(self, wanted: int, taboo: Address | None = None) -> list[Address]:
        """Up to `wanted` different members in touch, at random, not `taboo`."""
        chosen: list[Address] = []
        for _ in range(wanted):
            one = self.pick(lambda entry: entry.is_alive and entry.registered.payee not in (*chosen, taboo))
            if one is None:
                break
            chosen.append(one)
        return chosen

    def _is(self, payee: Address, fits: Callable[[Entry], bool]) -> bool:
        entry = self._table.find(payee)
        return entry is not None and fits(entry)

    def _shuffle(self, items: list[Address]) -> None:
        for index in range(len(items) - 1, 0, -1):
            other = int(self._dice.random() * (index + 1))
            items[index], items[other] = items[other], items[index]


def _in_touch(entry: Entry) -> bool:
    return entry.is_in_touch
