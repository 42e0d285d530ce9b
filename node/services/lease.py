"""This worker's lease on the books: reservations carry its epoch, so that another can close them if this one dies.

A worker whose lease has expired closes none of that epoch's requests any more: another worker may have closed them with
zero-charge receipts. It takes a new epoch for what it admits from then on.
"""

from node.core.errors import LedgerUnavailable
from node.core.types import Seconds
from node.ports.ledger import Ledger

LEASE_SECONDS = Seconds(60)
"""How long a crashed worker's requests stay open. Renewed at a third of it."""


class Lease:
    """The epoch that admissions carry."""

    def __init__(self, ledger: Ledger, seconds: Seconds = LEASE_SECONDS) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self.epoch = 0
        self.is_held = False

    @property
    def renew_seconds(self) -> float:
        """How often `renew` should be called."""
        return self._seconds / 3

    async def take(self) -> None:
        """Start with a new epoch. Raises LedgerUnavailable."""
        self.epoch = await self._ledger.take_lease(self._seconds)
        self.is_held = True

    async def renew(self) -> None:
        """Prolong it. When it had expired, take a new one for new requests: the old epoch's are no longer ours."""
        if not await self._ledger.renew_lease(self.epoch, self._seconds):
            self.is_held = False
            await self.take()

    def check(self, epoch: int) -> None:
        """Whether an admission under `epoch` is still ours to close. Raises LedgerUnavailable."""
        if not self.is_held or epoch != self.epoch:
            raise LedgerUnavailable("this worker lost its lease on the books; the request was closed without charge")
