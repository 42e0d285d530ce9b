"""Small writing helpers that SQLite and PostgreSQL share. Knows no table."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects import postgresql, sqlite


def put(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or overwrite the one with the same primary key."""
    made = _insert(connection, table).values(**row)
    key = [column.name for column in table.primary_key]
    rest = {name: made.excluded[name] for name in row if name not in key}
    connection.execute(made.on_conflict_do_update(index_elements=key, set_=rest))


def add_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows that are not there yet."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def _insert(connection: Connection, table: Table) -> Any:  # noqa: ANN401 -- one of two dialects' Insert
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def lock(connection: Connection, key: int) -> None:
    """One writer of a kind at a time, until the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
