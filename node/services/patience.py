"""How many free prefills one payer may cause: early hang-ups and answers made empty (billing table, rows of 0)."""

from node.core.errors import Overloaded
from node.core.types import Address

FOR_NODES = 10
"""A node has many clients, and patience with each of them: it may have so many times more, as may whoever says it is
one. A limit it is all the same.
"""
MAX_PAYERS = 16_384
"""Windows remembered; all are forgotten when full, which errs in the payers' favour."""


class Patience:
    """A fixed window a payer. No clock of its own."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._windows: dict[Address, tuple[float, int]] = {}

    def note(self, payer: Address, now: float) -> None:
        """One more that was billed at nothing."""
        since, count = self._windows.get(payer, (now, 0))
        if now - since > self._seconds:
            since, count = now, 0
        if len(self._windows) >= MAX_PAYERS:
            self._windows.clear()
        self._windows[payer] = (since, count + 1)

    def check(self, payer: Address, now: float, hops: int = 0) -> None:
        """Raises Overloaded while the payer's window is full. `hops`: of the terms, how many nodes it came through."""
        if payer not in self._windows:
            return
        since, count = self._windows[payer]
        if now - since > self._seconds:
            del self._windows[payer]
        elif count >= self._limit * (FOR_NODES if hops else 1):
            wait = int(since + self._seconds - now) + 1
            raise Overloaded("too many requests of this payer ended before their first token", retry_after=wait)
