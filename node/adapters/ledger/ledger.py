"""The payee's books on SQLite or PostgreSQL: implements `ports.Ledger`.

Decides nothing about money: `core.account` does. Admissions, closings and signatures go through the group-commit
writer; reads have connections and threads of their own.
"""

import asyncio
import contextlib
from collections.abc import Sequence

from node.adapters.ledger import reads, resync
from node.adapters.ledger.leases import renew_lease, take_lease
from node.adapters.ledger.operations import Admit, Close, KeepSignature
from node.adapters.ledger.store import Store
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.errors import LedgerUnavailable
from node.core.messages import Receipt, Voucher
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.ports.basics import Clock
from node.ports.ledger import Stored

DOUBT_SECONDS = 600
"""A commit whose reply was lost is carried out within moments, or was not."""


class SqlLedger:
    """One payee's books as one worker process sees them."""

    def __init__(self, store: Store, clock: Clock, worker: str) -> None:
        self._store = store
        self._clock = clock
        self._worker = worker
        self._lease_ends: dict[int, float] = {}

    async def admit(self, admission: Admission) -> Stored | None:
        """See ports.Ledger. An expired lease admits nothing: its reservations are about to be closed by others."""
        if self._clock.now() >= self._lease_ends.get(admission.lease, 0):
            raise LedgerUnavailable("this worker's lease has expired: it takes no new work")
        future = asyncio.get_running_loop().create_future()
        self._store.writer.submit(Admit(admission, future))
        return await future  # type: ignore[no-any-return]

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        """See ports.Ledger. A caller that is cancelled while waiting has closed all the same."""
        future = asyncio.get_running_loop().create_future()
        self._store.writer.submit(Close(admission, outcome, now, future))
        return await future  # type: ignore[no-any-return]

    async def keep_signature(self, receipt: Receipt, signature: Signature) -> None:
        """Queued, not awaited: it rides with the next group of writes. A crash loses it and it is made again."""
        self._store.writer.submit_later(KeepSignature(receipt, signature))

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        """See ports.Ledger."""
        return await self._store.read_with(reads.load_request, payer, lane, request_id)

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        """See ports.Ledger. A lane that waits for its resync reads as frozen, with what it was charged so far."""
        return await self._store.read_with(reads.load_lane, key)

    async def load_best_voucher(self, key: LaneKey) -> tuple[Voucher, Signature] | None:
        """See ports.Ledger."""
        return await self._store.read_with(reads.load_best_voucher, key)

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        """See ports.Ledger."""
        return await self._store.read_with(reads.load_pair, payer, payee)

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        """See ports.Ledger."""
        return await self._store.read_with(reads.load_receipts, key, after, limit)

    async def load_receipts_from(self, key: LaneKey, index: int, limit: int) -> Sequence[Stored]:
        """See ports.Ledger."""
        return await self._store.read_with(reads.load_receipts_from, key, index, limit)

    async def load_abandoned(self) -> Sequence[Admission]:
        """Open requests of expired leases, and those whose admission ended in an unknown commit."""
        now, doubtful = Seconds(int(self._clock.now())), tuple(self._store.writer.doubtful)
        abandoned = await self._store.read_with(reads.load_abandoned, now, doubtful)
        self._forget_doubts(doubtful, abandoned, now)
        return abandoned

    def _forget_doubts(self, doubtful: Sequence[Admission], open_ones: Sequence[Admission], now: Seconds) -> None:
        """Such a commit arrives at once or never: what is not there after so long needs no more looking for."""
        for admission in doubtful:
            if admission not in open_ones and now - admission.received_at > DOUBT_SECONDS:
                with contextlib.suppress(ValueError):  # the writer may have cleared it meanwhile
                    self._store.writer.doubtful.remove(admission)

    async def take_lease(self, seconds: Seconds) -> int:
        """See ports.Ledger."""
        now = self._clock.now()
        lease = await self._store.write_with(take_lease, self._worker, int(now), int(seconds))
        self._lease_ends[lease] = int(now) + seconds
        return lease

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        """See ports.Ledger. While the database is away the old end stands."""
        now = self._clock.now()
        is_renewed = await self._store.write_with(renew_lease, lease, int(now), int(seconds))
        self._lease_ends[lease] = int(now) + seconds if is_renewed else 0
        return is_renewed

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        """Agree on where a new generation begins (rule 6): at `base`, or higher if the books or the escrow say so."""
        return await self._store.write_with(resync.reopen_lane, key, base)

    async def freeze_lanes(self, payee: Address) -> int:
        """Admit nothing more in the present generation: the books turned out to be older than the world."""
        return await self._store.write_with(resync.freeze_lanes, payee)
