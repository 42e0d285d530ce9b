"""A database driver that fails where it is told to.

The nth statement from now, once or for good, before or after it ran.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, event

SQLITE_FAULTS: dict[str, Callable[[], Exception]] = {
    "busy": lambda: sqlite3.OperationalError("database is locked"),
    "full": lambda: sqlite3.OperationalError("database or disk is full"),
    "io": lambda: sqlite3.OperationalError("disk I/O error"),
    "readonly": lambda: sqlite3.OperationalError("attempt to write a readonly database"),
    "corrupt": lambda: sqlite3.DatabaseError("database disk image is malformed"),
}
POSTGRES_FAULTS: dict[str, Callable[[], Exception]] = {
    "lock_timeout": lambda: psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
    "full": lambda: psycopg.errors.DiskFull("could not extend file"),
    "io": lambda: psycopg.errors.IoError("could not fsync file"),
    "readonly": lambda: psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"),
    "gone": lambda: psycopg.OperationalError("server closed the connection unexpectedly"),
}


@dataclass
class Plan:
    """Fail statement number `at` (counted from 0 after arming) and, if `is_lasting`, every one after it.

    `is_late`: a COMMIT that fails is carried out first, and only its reply is lost.
    """

    fault: Callable[[], Exception] | None = None
    at: int = 0
    is_lasting: bool = False
    is_late: bool = False
    seen: int = 0

    def arm(self, fault: Callable[[], Exception] | None, at: int, *, is_lasting: bool, is_late: bool) -> None:
        self.fault, self.at, self.is_lasting, self.is_late, self.seen = fault, at, is_lasting, is_late, 0

    def disarm(self) -> int:
        """How many statements passed since arming."""
        self.fault = None
        return self.seen

    def run(self, text: str, action: Callable[[], Any]) -> Any:
        number, self.seen = self.seen, self.seen + 1
        is_hit = self.fault is not None and (number >= self.at if self.is_lasting else number == self.at)
        if not is_hit:
            return action()
        if self.is_late and text == "COMMIT":
            action()
        raise self.fault()


def make_faulty(engine: Engine) -> Plan:
    """From now on every connection of this engine follows the plan."""
    plan = Plan()
    name, factory = ("factory", _sqlite(plan)) if engine.dialect.name == "sqlite" else ("cursor_factory", _cursor(plan))

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _args: object, parameters: dict[str, Any]) -> None:
        parameters[name] = factory

    if engine.dialect.name == "postgresql":
        event.listen(engine, "commit", lambda _connection: plan.run("SQL COMMIT", lambda: None))
    return plan


def _sqlite(plan: Plan) -> type[sqlite3.Connection]:
    class Cursor(sqlite3.Cursor):
        def execute(self, text: str, *args: Any) -> Any:
            if text.startswith("PRAGMA"):
                return super().execute(text, *args)
            return plan.run(text, lambda: super(Cursor, self).execute(text, *args))

        def executemany(self, text: str, *args: Any) -> Any:
            return plan.run(text, lambda: super(Cursor, self).executemany(text, *args))

    class Connection(sqlite3.Connection):
        def cursor(self, *_args: Any) -> Any:
            return super().cursor(Cursor)

        def commit(self) -> None:
            if self.in_transaction:
                plan.run("COMMIT", super().commit)

    return Connection


def _cursor(plan: Plan) -> type[psycopg.Cursor[Any]]:
    class Cursor(psycopg.Cursor[Any]):
        def execute(self, text: Any, *args: Any, **more: Any) -> Any:
            return plan.run(str(text), lambda: super(Cursor, self).execute(text, *args, **more))

        def executemany(self, text: Any, *args: Any, **more: Any) -> Any:
            return plan.run(str(text), lambda: super(Cursor, self).executemany(text, *args, **more))

        def copy(self, text: Any, *args: Any, **more: Any) -> Any:
            return plan.run(str(text), lambda: super(Cursor, self).copy(text, *args, **more))

    return Cursor
