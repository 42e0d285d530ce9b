"""What the serve path knows of the chain, from the node's own books, at most one poll old. Never asks an RPC endpoint.

Bad news therefore reaches admission within `max_age_seconds` (threat P11); the ledger checks signer and cover once more
under its row locks, so a stale entry here can refuse or ask too late, but never over-commit.
"""

import asyncio

from node.core.errors import ChainUnavailable
from node.core.folds import PayeeView
from node.core.types import Address
from node.core.voucher import Standing
from node.ports.basics import Clock
from node.ports.chain import ChainBook

MAX_ENTRIES = 16_384
"""Lanes remembered; dropped all at once when full, they are cheap to load again."""


class ChainView:
    """The payee's generation and the standing of each lane's signer."""

    def __init__(
        self,
        book: ChainBook,
        clock: Clock,
        payee: Address,
        *,
        max_age_seconds: float = 1.0,
        max_head_age_seconds: float | None = None,
    ) -> None:
        self._book = book
        self._clock = clock
        self._payee = payee
        self._max_age = max_age_seconds
        self._max_head_age = max_head_age_seconds
        self._loaded_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._standings: dict[tuple[Address, Address], Standing] = {}
        self._view = PayeeView()
        self._finalised: int | None = None
        self._head_timestamp: int | None = None
        self._head_seen_at = 0.0

    @property
    def payee_view(self) -> PayeeView:
        """Operator and generation as last loaded."""
        return self._view

    @property
    def head_age(self) -> float | None:
        """Seconds since the newest booked block; None before the first."""
        return None if self._head_timestamp is None else self._clock.now() - self._head_timestamp

    @property
    def finalised(self) -> int | None:
        """The newest block whose allotments and keys count here, as last loaded; None before the first."""
        return self._finalised

    def operator_of(self, generation: int) -> Address:
        """The operator key of a generation as last loaded; zero when there was none."""
        return self._view.operator_of(generation)

    @property
    def chain_now(self) -> float:
        """What the chain's clock shows now: the head's timestamp and the time since that head was first seen."""
        if self._head_timestamp is None:
            return self._clock.now()
        return self._head_timestamp + self._clock.monotonic() - self._head_seen_at

    async def refresh(self) -> None:
        """Load the payee's side anew and forget the lanes."""
        view = await self._book.load_payee(self._payee)
        cursor = await self._book.load_cursor()
        self._view = view
        self._finalised = cursor.finalised if cursor else None
        timestamp = cursor.head.timestamp if cursor else None
        if timestamp != self._head_timestamp:
            self._head_timestamp, self._head_seen_at = timestamp, self._clock.monotonic()
        self._standings.clear()
        self._loaded_at = self._clock.monotonic()

    async def standing(self, payer: Address, signer: Address) -> Standing:
        """What `core.voucher.check_voucher` needs. Raises ChainUnavailable when the head is too old to sell by."""
        if self._is_stale():
            async with self._refreshing:  # one of all who wait asks the books
                if self._is_stale():
                    await self.refresh()
        self.check_fresh()
        known = self._standings.get((payer, signer))
        if known is None:
            known = await self._book.load_standing(self._payee, payer, signer)
            if len(self._standings) >= MAX_ENTRIES:
                self._standings.clear()
            self._standings[payer, signer] = known
        return known

    def _is_stale(self) -> bool:
        return self._clock.monotonic() - self._loaded_at > self._max_age

    def check_fresh(self) -> None:
        """Stop admitting when the chain has gone quiet for too long: a thaw might run unseen (threat I6)."""
        age = self.head_age
        if age is None:
            raise ChainUnavailable("this node has not read the chain yet")
        if self._max_head_age is not None and age > self._max_head_age:
            raise ChainUnavailable("the newest block this node has seen is too old", head_age_seconds=int(age))
