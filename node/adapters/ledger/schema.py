"""Opens a database by URL and brings its schema up to date. Knows no table and decides nothing about money.

URLs: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://user@host/name` (driver psycopg 3).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

import node
from node.core.errors import BadConfig, LedgerUnavailable

BUSY_SECONDS = 2.0
"""A locked database is waited for this long, then it is LedgerUnavailable: a client would rather go elsewhere."""
MIGRATION_LOCK = 0x77777773
"""Key of the PostgreSQL advisory lock that lets one of several starting processes migrate."""
_PAGES_BETWEEN_CHECKPOINTS = 4000
"""16 MB of write-ahead log: fewer, longer checkpoints; recovery replays this much at most."""


def open_engine(url: str) -> Engine:
    """An engine whose every transaction is durable when it has committed. Raises BadConfig for a URL it cannot use."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS, "cached_statements": 512})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = f"-c synchronous_commit=on -c lock_timeout={int(BUSY_SECONDS * 1000)} -c timezone=UTC"
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        connect_args={"options": options, "connect_timeout": int(BUSY_SECONDS)},
        pool_pre_ping=True,
    )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise BadConfig(f"not a database URL: {url!r}; use sqlite:///file.db or postgresql://user@host/name") from exc
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadConfig(f"unknown database {parsed.get_backend_name()!r}: use sqlite or postgresql")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise BadConfig("the ledger needs a file: sqlite:///file.db")
    return parsed


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 -- the driver's connection
    """WAL for readers beside the writer; FULL so that a commit survives a power cut; we say BEGIN ourselves."""
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = OFF",
        f"wal_autocheckpoint = {_PAGES_BETWEEN_CHECKPOINTS}",
        "cache_size = -65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Readers take a snapshot; whoever means to write says BEGIN IMMEDIATE (execution option `writes`)."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def for_writing(engine: Engine) -> Engine:
    """The same engine and pool; its transactions take SQLite's write lock at their beginning."""
    return engine.execution_options(writes=True)


def migrate(url: str, database: str = "ledger") -> None:
    """Create or upgrade the schema of `database` ("ledger" or "wallet"). Several processes may do so at once."""
    _with_migrations(url, database, lambda config: command.upgrade(config, "head"))


def downgrade(url: str, revision: str, database: str = "ledger") -> None:
    """Back to an earlier revision ("base" for an empty database)."""
    _with_migrations(url, database, lambda config: command.downgrade(config, revision))


def _with_migrations(url: str, database: str, action: Callable[[Config], None]) -> None:
    engine = open_engine(url)
    config = _config(database)
    try:
        with for_writing(engine).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config.attributes["connection"] = connection
            action(config)
    except DBAPIError as exc:
        raise LedgerUnavailable(f"the database cannot be opened or migrated: {exc.orig}") from exc
    except CommandError as exc:
        raise BadConfig(f"the database has a schema that this version does not know: {exc}") from exc
    finally:
        engine.dispose()


def _config(database: str) -> Config:
    """The migrations lie beside the package in a checkout and inside it in a wheel."""
    package = Path(node.__file__).parent
    inside = package / "migrations"
    home = inside if inside.is_dir() else package.parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(home))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(home / database / "versions"))
    return config
