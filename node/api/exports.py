"""Rows as CSV, JSON Lines or Parquet, batch by batch: memory does not grow with the number of rows. Asks nobody."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from node.core.rows import ColumnType

Row = Mapping[str, Any]
Batches = AsyncIterator[list[Row]]
Columns = Mapping[str, ColumnType]
AMOUNT_DIGITS = 39
PARQUET_ROWS = 20_000
"""Rows in a Parquet row group: smaller ones compress badly."""


async def to_jsonl(batches: Batches, _columns: Columns) -> AsyncIterator[bytes]:
    """One object a line."""
    async for rows in batches:
        yield b"".join(orjson.dumps(row) + b"\n" for row in rows)


async def to_csv(batches: Batches, columns: Columns) -> AsyncIterator[bytes]:
    """A header line, then a line a row."""
    yield ",".join(columns).encode() + b"\n"
    async for rows in batches:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(row.values() for row in rows)
        yield text.getvalue().encode()


async def to_parquet(batches: Batches, columns: Columns) -> AsyncIterator[bytes]:
    """Row groups as they fill; amounts are exact decimals. Needs `is_parquet_here()`."""
    file = await asyncio.to_thread(_ParquetFile, columns)
    waiting: list[Row] = []
    async for rows in batches:
        waiting += rows
        if len(waiting) >= PARQUET_ROWS:
            yield await asyncio.to_thread(file.add, waiting)
            waiting = []
    yield await asyncio.to_thread(file.end, waiting)


class _Sink(io.RawIOBase):
    """Where the Parquet writer writes: keeps only what was not passed on yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, part: Any) -> int:  # noqa: ANN401 -- any buffer
        self._parts.append(bytes(part))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def take(self) -> bytes:
        """What came since the last time."""
        taken, self._parts = b"".join(self._parts), []
        return taken


class _ParquetFile:
    """A Parquet file that grows at its end only."""

    def __init__(self, columns: Columns) -> None:
        import pyarrow as pa  # noqa: PLC0415 -- 100 MB that only this format needs
        import pyarrow.parquet as pq  # noqa: PLC0415

        kinds = {"integer": pa.int64(), "amount": pa.decimal256(AMOUNT_DIGITS, 0)}
        self._arrow, self._columns, self._sink = pa, columns, _Sink()
        self._schema = pa.schema([(name, kinds.get(of_type, pa.string())) for name, of_type in columns.items()])
        self._writer = pq.ParquetWriter(self._sink, self._schema)

    def add(self, rows: list[Row]) -> bytes:
        """One row group; the bytes to pass on."""
        self._writer.write_table(
            self._arrow.Table.from_arrays([self._column(name, rows) for name in self._columns], schema=self._schema)
        )
        return self._sink.take()

    def end(self, rows: list[Row]) -> bytes:
        """The last rows and the footer."""
        last = self.add(rows)
        self._writer.close()
        return last + self._sink.take()

    def _column(self, name: str, rows: list[Row]) -> Any:  # noqa: ANN401 -- pyarrow has no types
        convert: Callable[[Any], Any] = Decimal if self._columns[name] == "amount" else _same
        return self._arrow.array([convert(row[name]) for row in rows], type=self._schema.field(name).type)


def _same(value: object) -> object:
    return value


def is_parquet_here() -> bool:
    """Whether the extra `parquet` is installed."""
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 -- see _ParquetFile
    except ImportError:
        return False
    return True
