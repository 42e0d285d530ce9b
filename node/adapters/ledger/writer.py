"""Group commit: the one thread of a process that writes the ledger.

It takes whatever operations wait, writes them in one transaction, and answers them all after it. While a
commit is on its way to the disk the next group gathers, so the group grows with the load by itself. The thread is
called when a turn of the event loop has brought no further operation: at once on an idle server, on a busy one when
what it has in hand is there. Nothing else lingers but signatures, for which nobody waits. An error of one operation
must not fail its neighbours: the group is rolled back and its operations are tried one by one. A database that takes
no writes answers LedgerUnavailable to all.
"""

import asyncio
import logging
from collections.abc import Sequence
from threading import Condition, Thread
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.adapters.ledger.batch import Answer, Batch
from node.adapters.ledger.high_water import HighWater
from node.adapters.ledger.hot import CommitUnknownError, Door, Session
from node.adapters.ledger.memory import Memory
from node.adapters.ledger.operations import Admit, Job, KeepSignature, Operation
from node.adapters.ledger.restoring import COUNT, SEQ
from node.core.account import Admission
from node.core.errors import Broken, LedgerUnavailable, WwwserveError
from node.core.recovery import Mark
from node.core.types import Micros

MOST = 1024
"""Operations a transaction takes at most: bounds how long the first of them waits."""
GATHERED = 128
"""Operations for which the writer is called without looking for more."""
GATHER_SECONDS = 0.005
"""A group that goes on growing is not waited for any longer."""
LINGER_SECONDS = 0.05
"""Signatures wait this long for a group to ride in."""
RETRY_SECONDS = 1.0
"""After a refusal signatures alone wait this long before they try the database again."""
SIGNATURES_KEPT = 100_000
"""While the database is away, more signatures than this are dropped: they can be made again."""

log = logging.getLogger(__name__)


class Writer:
    """The only thread of this process that writes operations. `start` before the first `submit`."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, high_water: HighWater) -> None:
        self._loop = loop
        self._high_water = high_water
        self._is_reconnected = True
        self._door = Door(engine)
        driver: Any = engine.dialect.loaded_dbapi
        self._errors: tuple[type[Exception], ...] = (driver.Error, SQLAlchemyError, OSError, CommitUnknownError)
        self._data_errors: tuple[type[Exception], ...] = (driver.IntegrityError, driver.DataError)
        self._memory = Memory()
        self._waiting: list[Operation] = []
        self._is_calling = self._is_called = False
        self._gathered, self._gathers_until = 0, 0.0
        self._signatures: list[Operation] = []
        self._jobs: list[Job] = []
        self._wake = Condition()
        self._linger = LINGER_SECONDS
        self._is_stopping = False
        self._thread = Thread(target=self._work, name="ledger-writer", daemon=True)
        self.doubtful: list[Admission] = []
        """Admissions whose commit had an unknown end and whose caller was told no: nobody serves them."""

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, operation: Operation) -> None:
        """Queue an operation that somebody awaits."""
        with self._wake:
            if self._is_stopping:
                raise LedgerUnavailable("the ledger is closed")
            self._waiting.append(operation)
            if self._is_calling:
                return
            self._is_calling = True
        self._gathered, self._gathers_until = 0, self._loop.time() + GATHER_SECONDS
        self._loop.call_soon(self._call)

    def _call(self) -> None:
        """Once a turn of the loop, as long as operations come in.

        The two threads would fight for the interpreter over every group, and a small one costs nearly as much as a
        large one.
        """
        with self._wake:
            waiting = len(self._waiting)
            if self._gathered < waiting < GATHERED and self._loop.time() < self._gathers_until:
                self._gathered = waiting
            else:
                self._is_calling = False
                self._is_called = True
                self._wake.notify()
                return
        self._loop.call_soon(self._call)

    def submit_job(self, job: Job) -> None:
        """Queue a write of another kind: it comes after the group that is being written now."""
        with self._wake:
            if self._is_stopping:
                raise LedgerUnavailable("the ledger is closed")
            self._jobs.append(job)
            self._wake.notify()

    def submit_later(self, operation: KeepSignature) -> None:
        """Queue a signature: it rides with the next group, or goes alone a little later."""
        with self._wake:
            if len(self._signatures) < SIGNATURES_KEPT:
                self._signatures.append(operation)
            if len(self._signatures) == 1:
                self._wake.notify()

    def stop(self) -> None:
        """Write what waits, then end the thread."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._wait():
            jobs, group = self._take()
            if group:
                self._write(group)
            for job in jobs:
                self._run(job)
        self._door.shut()

    def _wait(self) -> bool:
        """Until there is something to write; False when there is nothing and it is time to stop."""
        with self._wake:
            while not (self._jobs or (self._is_called and self._waiting)):
                self._is_called = False
                if self._is_stopping:
                    return bool(self._waiting or self._signatures)
                if not self._wake.wait(self._linger if self._signatures else None):
                    break
            return True

    def _take(self) -> tuple[list[Job], list[Operation]]:
        with self._wake:
            jobs, self._jobs = self._jobs, []
            group = self._waiting[:MOST]
            self._is_called = len(self._waiting) > MOST
            del self._waiting[:MOST]
            room = MOST - len(group)
            group += self._signatures[:room]
            del self._signatures[:room]
            return jobs, group

    def _run(self, job: Job) -> None:
        try:
            answer = job.work()
        except Exception as exc:  # noqa: BLE001 -- whoever awaits the job gets it, whatever it is
            answer = exc
        self._resolve([job], [answer])

    def _write(self, group: Sequence[Operation]) -> None:
        try:
            answers = self._commit_surely(group)
        except self._data_errors as exc:
            self._write_singly(group, exc)
        except self._errors as exc:
            self._refuse(group, exc)
        except Exception as exc:  # noqa: BLE001 -- this thread's outermost loop: a bug must not stop all later writes
            self._write_singly(group, exc)
        else:
            self._linger = LINGER_SECONDS
            self._clear_doubts(group, answers)
            self._resolve(group, answers)

    def _commit_surely(self, group: Sequence[Operation]) -> list[Answer]:
        """A commit of unknown end is asked about by doing the group again: known requests tell that it had arrived."""
        try:
            return self._commit(group)
        except CommitUnknownError:
            for operation in group:
                operation.is_repeat = True
        try:
            return self._commit(group)
        except self._errors:
            self.doubtful += [operation.admission for operation in group if isinstance(operation, Admit)]
            raise

    def _clear_doubts(self, group: Sequence[Operation], answers: Sequence[Answer]) -> None:
        """What was admitted after all (singly, or by a retry) is being served: nobody may close it as abandoned."""
        if self.doubtful:
            pairs = zip(group, answers, strict=True)
            served = [one.admission for one, answer in pairs if isinstance(one, Admit) and answer is None]
            self.doubtful = [admission for admission in self.doubtful if admission not in served]

    def _commit(self, group: Sequence[Operation]) -> list[Answer]:
        kept, self._memory.working = self._memory.working, None  # what a failed batch has touched is no truth any more
        is_new, self._is_reconnected = self._is_reconnected, True
        with self._door.transaction() as session:
            if is_new:
                self._check_books(session)
            batch = Batch(session, self._memory, kept)
            answers = batch.run(group)
        self._is_reconnected = False
        batch.remember()
        self._high_water.note(batch.closed)
        return answers

    def _check_books(self, session: Session) -> None:
        """A database that comes back may be another one: a lagging replica, a restored file (threat P8)."""
        count, seq = session.rows(COUNT)[0][0], session.rows(SEQ)[0][0]
        self._high_water.check(Mark(0, int(count), Micros(int(seq))))

    def _write_singly(self, group: Sequence[Operation], cause: Exception) -> None:
        """Find the one that cannot be written; it alone gets the error."""
        if len(group) > 1:
            log.warning("a group of %d ledger writes failed, trying them singly: %r", len(group), cause)
            for operation in group:
                self._write([operation])
            return
        log.error("a ledger write failed: %r", cause)
        self._resolve(group, [cause if isinstance(cause, WwwserveError) else _broken(cause)])

    def _refuse(self, group: Sequence[Operation], cause: Exception) -> None:
        """No durable write is possible. Signatures are kept for better times."""
        log.warning("the ledger database refuses to write: %r", cause)
        self._linger = RETRY_SECONDS
        waiting = [operation for operation in group if not isinstance(operation, KeepSignature)]
        with self._wake:
            if not self._is_stopping:  # else the thread would try for ever, and `stop` wait for it
                self._signatures += [operation for operation in group if isinstance(operation, KeepSignature)]
        self._resolve(waiting, [_unavailable(cause) for _ in waiting])

    def _resolve(self, group: Sequence[Operation | Job], answers: Sequence[Any]) -> None:
        self._loop.call_soon_threadsafe(_resolve_all, group, answers)


def _unavailable(cause: Exception) -> LedgerUnavailable:
    reason = LedgerUnavailable("no durable write is possible now; nothing was served or charged")
    reason.__cause__ = cause
    return reason


def _broken(cause: Exception) -> Broken:
    reason = Broken("the ledger cannot hold this; nothing was written")
    reason.__cause__ = cause
    return reason


def _resolve_all(group: Sequence[Operation | Job], answers: Sequence[Any]) -> None:
    for operation, answer in zip(group, answers, strict=True):
        future = operation.future
        if future is None or future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
