"""The statements of the hot path as text made once, and a thin session over the driver's own cursor. Decides nothing.

SQLAlchemy costs 3-5 us a row in conversions; here rows go to the driver as plain tuples, amounts already in the
column's form. Many keys are looked up by one SELECT over a VALUES list; its length is padded to a power of two so
that the drivers' statement caches hold ten texts a table, not a thousand.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Engine, Table
from sqlalchemy.pool import PoolProxiedConnection

Row = tuple[Any, ...]
KeyT = TypeVar("KeyT")
_ROWS = 256
"""Rows an INSERT takes at most."""
_EXACT = 32
"""Up to this number of rows one statement takes them all."""
_TAILS = {
    "receipt_signature": " ON CONFLICT (voucher_id) DO NOTHING",
    "account": " ON CONFLICT (lane_id, generation) DO UPDATE SET charged = excluded.charged, "
    "reserved = excluded.reserved, best = excluded.best, best_voucher_id = excluded.best_voucher_id, "
    "seq = excluded.seq, count = excluded.count",
    "pair": " ON CONFLICT (payer, payee) DO UPDATE SET committed = excluded.committed",
}
"""A signature stays as it is; totals are overwritten, the chain's own columns never."""
_COPIED = 8
"""More rows than this are copied where that is possible: COPY costs two round trips."""


class Words:
    """The texts of one dialect; `amount` turns an amount into its column's form, whose CHECK refuses a bad one."""

    def __init__(self, dialect: str) -> None:
        is_sqlite = dialect == "sqlite"
        self.mark = "?" if is_sqlite else "%s"
        self.begin = "BEGIN IMMEDIATE" if is_sqlite else "BEGIN"
        self.copies = not is_sqlite
        self.lock_pairs = "" if is_sqlite else " ORDER BY pair.payer, pair.payee FOR UPDATE OF pair"
        self.amount: Callable[[int], str | int] = "%039d".__mod__ if is_sqlite else int
        self.select_wanted = lru_cache(maxsize=256)(self._select_wanted)
        self.insert = lru_cache(maxsize=512)(self._insert)
        self.lane = self._text("INSERT INTO lane (payer, payee, lane, claimed) VALUES (?, ?, ?, ?) RETURNING id")
        terms = ("offer_hash", "model", "tokenizer", "template", "price_prompt", "price_completion")
        where = " AND ".join(f"{name} = ?" for name in terms)
        self.find_agreement = self._text(f"SELECT id FROM agreement WHERE {where}")  # noqa: S608 -- constant names
        self.agreement = self._text(
            f"INSERT INTO agreement ({', '.join(terms)}) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608 -- constant names
            "ON CONFLICT DO NOTHING",
        )
        self.last_voucher = self._text("SELECT max(id) FROM voucher WHERE id BETWEEN ? AND ?")

    def _text(self, text: str) -> str:
        return text.replace("?", self.mark)

    def _insert(self, table: Table, count: int) -> str:
        """One statement for `count` rows; `_TAILS` says what becomes of those that are there already."""
        names = [column.name for column in table.columns]
        row = "(" + ", ".join(self.mark for _ in names) + ")"
        tail = _TAILS.get(table.name, "")
        return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join([row] * count)}{tail}"  # noqa: S608

    def release(self, count: int) -> str:
        """The end of reservations."""
        return f"DELETE FROM reservation WHERE voucher_id IN ({', '.join([self.mark] * count)})"  # noqa: S608

    def _select_wanted(self, what: str, columns: str, count: int) -> str:
        """`what` names the columns and tables; `columns` are matched with the wanted keys, in their order."""
        matched = columns.split()
        names = [f"k{number}" for number in range(len(matched))]
        row = "(" + ", ".join(self.mark for _ in matched) + ")"
        head = f"WITH wanted ({', '.join(names)}) AS (VALUES {', '.join([row] * count)}) "
        where = " AND ".join(f"{column} = wanted.{name}" for column, name in zip(matched, names, strict=True))
        return head + what.format(wanted="wanted CROSS JOIN") + " WHERE " + where


class Session:
    """One transaction on the driver's connection: no layer between, so that a batch costs what the database costs."""

    def __init__(self, cursor: Any, words: Words) -> None:  # noqa: ANN401 -- the driver's cursor
        self.words = words
        self._cursor = cursor

    def rows(self, text: str, params: Sequence[object] = ()) -> list[Row]:
        """All rows of a SELECT or RETURNING."""
        return self._cursor.execute(text, params).fetchall()  # type: ignore[no-any-return]

    def version(self) -> int | None:
        """A number that changes when anybody else has committed; None where the database has no such thing."""
        if self.words.mark != "?":
            return None
        return int(self.rows("PRAGMA data_version")[0][0])

    def run(self, text: str, params: Sequence[object] = ()) -> int:
        """One statement; the number of rows it touched."""
        return int(self._cursor.execute(text, params).rowcount)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Many rows by few statements.

        `executemany` would give up Python's lock for each row, and on a busy server each time means a wait for the
        event loop to let go of it again.
        """
        if self.words.copies and len(rows) > _COPIED and table.name not in _TAILS:
            self._copy(table, rows)
            return
        start = 0
        while start < len(rows):
            size = _fitting(len(rows) - start)
            part = rows[start : start + size]
            self._cursor.execute(self.words.insert(table, size), _flat(part))
            start += size

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        """PostgreSQL's own way for many rows; psycopg would parse a long VALUES list anew each time."""
        names = ", ".join(column.name for column in table.columns)
        with self._cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def release(self, voucher_ids: list[int]) -> None:
        """Delete reservations."""
        if voucher_ids:
            padded = _padded(voucher_ids)
            self._cursor.execute(self.words.release(len(padded)), padded)

    def wanted(self, what: str, columns: str, keys: Iterable[Row], tail: str = "") -> list[Row]:
        """Rows whose `columns` equal one of `keys`, in one SELECT."""
        rows = list(keys)
        if not rows:
            return []
        padded = _padded(rows)
        text = self.words.select_wanted(what, columns, len(padded)) + tail
        return self.rows(text, _flat(padded))


def _fitting(count: int) -> int:
    """The most rows for one prepared text: any small number, few larger ones, so that the texts are some forty."""
    if count <= _EXACT:
        return count
    return min(1 << count.bit_length() - 1, _ROWS)


def _flat(rows: Iterable[Row]) -> list[Any]:
    return [value for row in rows for value in row]


def _padded(keys: list[KeyT]) -> list[KeyT]:
    """The first key repeated until the length is a power of two."""
    size = 1 << (len(keys) - 1).bit_length()
    return keys + keys[:1] * (size - len(keys))


class CommitUnknownError(Exception):
    """COMMIT itself failed: the rows may or may not be durable. Ask again before telling anybody."""


class Door:
    """A writer's own connection: opened when needed, kept between transactions, thrown away after an error."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None
        self.words = Words(engine.dialect.name)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A writing transaction: durable when the block has ended, undone by any error."""
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            if self.words.mark == "%s":  # we say BEGIN ourselves, as with SQLite
                self._connection.driver_connection.autocommit = True  # type: ignore[union-attr]
        cursor = self._connection.cursor()
        try:
            cursor.execute(self.words.begin)
            yield Session(cursor, self.words)
            self._commit(cursor)
        except BaseException:
            self.shut()
            raise
        cursor.close()

    def _commit(self, cursor: Any) -> None:  # noqa: ANN401 -- the driver's cursor
        try:
            cursor.execute("COMMIT")
        except Exception as exc:
            raise CommitUnknownError from exc

    def shut(self) -> None:
        """Undo what was not committed and close.

        The explicit rollback matters: SQLite keeps the lock of a connection that was closed while an unfinished
        statement of it is still referenced (by a traceback, say).
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.rollback()
            connection.invalidate()
