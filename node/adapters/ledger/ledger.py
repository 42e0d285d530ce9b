"""The payee's books on SQLite or PostgreSQL: implements `ports.Ledger`. Writes go through the group-commit writer, reads
through connections of their own, in threads. Decides nothing about money: `core.account` does.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.adapters.ledger import reads, resync
from node.adapters.ledger.leases import renew_lease, take_lease
from node.adapters.ledger.operations import Admit, Close, KeepSignature
from node.adapters.ledger.writer import Writer
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.errors import LedgerUnavailable
from node.core.messages import Receipt
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.ports import Clock, Stored

ResultT = TypeVar("ResultT")
READERS = 4
"""Threads for reads: they wait for the disk, not for the processor."""


class SqlLedger:
    """One payee's books as one worker process sees them. `start` inside the running loop; `stop` at the end."""

    def __init__(self, engine: Engine, clock: Clock, worker: str) -> None:
        self._engine = engine
        self._clock = clock
        self._worker = worker
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")
        self._writer: Writer | None = None
        self._lease_ends: dict[int, float] = {}

    def start(self) -> None:
        """Begin to take writes on the running loop."""
        self._writer = Writer(self._engine, asyncio.get_running_loop())
        self._writer.start()

    async def stop(self) -> None:
        """Write what waits, then close."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.stop)
        self._threads.shutdown()
        self._engine.dispose()

    @property
    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise LedgerUnavailable("the ledger is not open yet")
        return self._writer

    async def admit(self, admission: Admission) -> Stored | None:
        """See ports.Ledger. An expired lease admits nothing: its reservations are about to be closed by others."""
        if self._clock.now() >= self._lease_ends.get(admission.lease, 0):
            raise LedgerUnavailable("this worker's lease has expired: it takes no new work")
        future = asyncio.get_running_loop().create_future()
        self._open_writer.submit(Admit(admission, future))
        return await future  # type: ignore[no-any-return]

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        """See ports.Ledger. A caller that is cancelled while waiting has closed all the same."""
        future = asyncio.get_running_loop().create_future()
        self._open_writer.submit(Close(admission, outcome, now, future))
        return await future  # type: ignore[no-any-return]

    async def keep_signature(self, receipt: Receipt, signature: Signature) -> None:
        """Queued, not awaited: it rides with the next group of writes. A crash loses it and it is made again."""
        self._open_writer.submit_later(KeepSignature(receipt, signature))

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        """See ports.Ledger."""
        return await self._read(lambda: reads.load_request(self._engine, payer, lane, request_id))

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        """See ports.Ledger. A lane that waits for its resync reads as frozen, with what it was charged so far."""
        return await self._read(lambda: reads.load_lane(self._engine, key))

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        """See ports.Ledger."""
        return await self._read(lambda: reads.load_pair(self._engine, payer, payee))

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        """See ports.Ledger."""
        return await self._read(lambda: reads.load_receipts(self._engine, key, after, limit))

    async def load_abandoned(self) -> Sequence[Admission]:
        """Open requests of expired leases, and those whose admission ended in an unknown commit."""
        now, doubtful = Seconds(int(self._clock.now())), tuple(self._open_writer.doubtful)
        return await self._read(lambda: reads.load_abandoned(self._engine, now, doubtful))

    async def take_lease(self, seconds: Seconds) -> int:
        """See ports.Ledger."""
        now = self._clock.now()
        lease = await self._read(lambda: take_lease(self._engine, self._worker, int(now), int(seconds)))
        self._lease_ends[lease] = int(now) + seconds
        return lease

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        """See ports.Ledger. While the database is away the old end stands."""
        now = self._clock.now()
        is_renewed = await self._read(lambda: renew_lease(self._engine, lease, int(now), int(seconds)))
        self._lease_ends[lease] = int(now) + seconds if is_renewed else 0
        return is_renewed

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        """Agree on where a new generation begins (rule 6): at `base`, or higher if the books or the escrow say so."""
        return await self._read(lambda: resync.reopen_lane(self._engine, key, base))

    async def freeze_lanes(self, payee: Address) -> int:
        """Admit nothing more in the present generation: the books turned out to be older than the world."""
        return await self._read(lambda: resync.freeze_lanes(self._engine, payee))

    async def _read(self, work: Callable[[], ResultT]) -> ResultT:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work)
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as exc:
            raise LedgerUnavailable("the ledger database does not answer") from exc
