"""What is still to be told: at most one rumour a member, pushed a bounded number of times, then only carried along.

A push costs a packet of its own, so its copies are counted; pings and acks go out anyway, so they carry a rumour for
as long as it is fresh. Together they leave nobody out at a cost that grows with the digits of the network's size.
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.core.membership.rumours import SignedRumour
from node.core.types import Address

FRESH_SECONDS = 3.0
"""How long pings and acks carry a rumour after it was heard."""


@dataclass(slots=True)
class _Item:
    signed: SignedRumour
    ends: float
    told: int = 0
    pushes: int = 0


class News:
    """The piggyback queue. A later rumour of the same member replaces the earlier one."""

    def __init__(self, copies: Callable[[], int]) -> None:
        self._copies = copies
        self._items: dict[Address, _Item] = {}
        self._to_push: set[Address] = set()

    @property
    def has_pushes(self) -> bool:
        """Whether something is worth a packet of its own."""
        return bool(self._to_push)

    def add(self, signed: SignedRumour, now: float) -> None:
        """Tell it, from the start."""
        subject = signed.rumour.subject
        self._items[subject] = _Item(signed, now + FRESH_SECONDS)
        self._to_push.add(subject)

    def drop(self, subject: Address) -> None:
        """It is of nobody any more."""
        self._items.pop(subject, None)
        self._to_push.discard(subject)

    def expire(self, now: float) -> None:
        """Old news is no news."""
        for subject in [subject for subject, item in self._items.items() if item.ends <= now]:
            self.drop(subject)

    def push(self, room: int, packets: int) -> list[SignedRumour]:
        """Up to `room` rumours for `packets` packets of their own, least told first."""
        chosen = sorted((self._items[subject] for subject in self._to_push), key=_told)[:room]
        for item in chosen:
            item.told += packets
            item.pushes += packets
            if item.pushes >= self._copies():
                self._to_push.discard(item.signed.rumour.subject)
        return [item.signed for item in chosen]

    def carry(self, room: int) -> list[SignedRumour]:
        """Up to `room` rumours for a packet that goes out anyway."""
        items = list(self._items.values())
        if len(items) > room:
            items = sorted(items, key=_told)[:room]
        for item in items:
            item.told += 1
        return [item.signed for item in items]


def _told(item: _Item) -> int:
    return item.told
