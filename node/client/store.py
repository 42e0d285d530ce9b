"""The wallet file: SQLite with WAL and `synchronous=FULL`, opened, migrated, and written through one thread.

`Wallet.run` is for programs without an event loop; `WalletWriter.run` takes what is waiting as one commit, so that many
requests in flight share one fsync. An action that raises is rolled back alone. Never signs and never sends.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from node.client.books import Books
from node.client.migrate import migrate
from node.core.errors import BadConfig, LedgerUnavailable

T = TypeVar("T")
Action = Callable[[Books], T]
BUSY_SECONDS = 10
"""How long to wait for another process that writes the same wallet."""
MOST_A_COMMIT = 256
"""A bound on how long one commit can grow."""


def open_engine(path: Path) -> Engine:
    """An engine on the wallet file, made (mode 0600: it tells who asked what of whom when) and migrated if needed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise BadConfig(f"cannot open the wallet {path}: {exc.strerror}", file=str(path)) from exc
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as connection:
            migrate(connection)
    except DBAPIError as exc:
        raise BadConfig(f"{path} is not a wallet, or cannot be written: {exc.orig}", file=str(path)) from exc
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:  # noqa: ANN401 -- the driver's own connection
    connection.isolation_level = None  # or pysqlite would begin transactions (deferred ones) by itself
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # read and write under one lock: no check-then-act between processes


class Wallet:
    """The wallet for one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, action: Action[T]) -> T:
        """One durable transaction. Raises what the action raises, or LedgerUnavailable; nothing is written then."""
        try:
            with self._engine.begin() as connection:
                return action(Books(connection))
        except DBAPIError as exc:
            raise _unavailable(exc) from exc

    def close(self) -> None:
        """Release the file."""
        self._engine.dispose()


def _unavailable(exc: DBAPIError) -> LedgerUnavailable:
    return LedgerUnavailable(f"the wallet cannot be written now: {exc.orig}")


@dataclass(frozen=True, slots=True)
class _Waiting:
    action: Action[Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class WalletWriter:
    """The wallet for an event loop: one thread, all waiting actions in one commit, each in its own savepoint."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="wallet", daemon=True)
        self._thread.start()

    async def run(self, action: Action[T]) -> T:
        """Durable when it returns. Raises what the action raises, or LedgerUnavailable."""
        if self._is_closed:
            raise LedgerUnavailable("the wallet is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Waiting(action, loop, future))
        # a caller that is cancelled must not leave the outcome of its commit unknown to the thread
        return await asyncio.shield(future)

    def close(self) -> None:
        """Finish what waits, then release the file."""
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join()
        self._engine.dispose()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, is_last = self._batch(first)
            self._commit(batch)
            if is_last:
                return

    def _batch(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        batch = [first]
        while len(batch) < MOST_A_COMMIT and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    def _commit(self, batch: list[_Waiting]) -> None:
        outcomes: list[tuple[_Waiting, Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                outcomes.extend((waiting, *_outcome(connection, waiting.action)) for waiting in batch)
        except DBAPIError as exc:
            if len(batch) > 1:  # one bad action must not fail the others
                for waiting in batch:
                    self._commit([waiting])
                return
            outcomes = [(batch[0], None, _unavailable(exc))]
        for waiting, result, error in outcomes:
            waiting.loop.call_soon_threadsafe(_resolve, waiting.future, result, error)


def _outcome(connection: Connection, action: Action[Any]) -> tuple[Any, BaseException | None]:
    connection.execute(text("SAVEPOINT one"))
    try:
        result = action(Books(connection))
    except DBAPIError:
        raise  # the whole commit is in doubt
    except Exception as exc:  # noqa: BLE001 -- handed to the caller whose action it is
        connection.execute(text("ROLLBACK TO one"))
        return None, exc
    connection.execute(text("RELEASE one"))
    return result, None


def _resolve(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
        return
    future.set_exception(error)
