"""One open database for everything in this room: an engine, the writer's thread, threads for reads. Knows no table."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from node.adapters.ledger.high_water import HighWater
from node.adapters.ledger.operations import Job
from node.adapters.ledger.schema import for_writing
from node.adapters.ledger.writer import Writer
from node.core.errors import LedgerUnavailable

ResultT = TypeVar("ResultT")
ParamsT = ParamSpec("ParamsT")
READERS = 4
"""Threads for reads: they wait for the disk, not for the processor."""


class Store:
    """`start` inside the running loop; `stop` at the end."""

    def __init__(self, engine: Engine, high_water: HighWater | None = None) -> None:
        self.engine = engine
        self.high_water = high_water or HighWater()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")
        self._writer: Writer | None = None

    def start(self) -> None:
        """Begin to take writes on the running loop."""
        self._writer = Writer(self.engine, asyncio.get_running_loop(), self.high_water)
        self._writer.start()

    async def stop(self) -> None:
        """Write what waits, then close."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.stop)
        self._threads.shutdown()
        self.engine.dispose()
        self.high_water.close()

    @property
    def writer(self) -> Writer:
        """The one that writes. Raises LedgerUnavailable before `start`."""
        if self._writer is None:
            raise LedgerUnavailable("the ledger is not open yet")
        return self._writer

    async def read_with(
        self,
        work: Callable[Concatenate[Connection, ParamsT], ResultT],
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> ResultT:
        """Run a read on a snapshot of its own, beside the writer. Raises LedgerUnavailable without a database."""

        def run() -> ResultT:
            with self.engine.connect() as connection:
                return work(connection, *args, **kwargs)

        return await self._translated(asyncio.get_running_loop().run_in_executor(self._threads, run))

    async def write_with(
        self,
        work: Callable[Concatenate[Connection, ParamsT], ResultT],
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> ResultT:
        """Run a whole writing transaction in the writer's turn. Raises LedgerUnavailable; then nothing was written."""

        def run() -> ResultT:
            with for_writing(self.engine).begin() as connection:
                return work(connection, *args, **kwargs)

        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self.writer.submit_job(Job(run, future))
        return await self._translated(future)

    async def _translated(self, work: asyncio.Future[ResultT]) -> ResultT:
        try:
            return await work
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as exc:
            raise LedgerUnavailable("the ledger database does not answer") from exc
