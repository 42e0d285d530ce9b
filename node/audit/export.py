"""Rows as CSV, JSON Lines or Parquet. Streams: memory does not grow with the number of rows."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from node.audit.errors import CannotAuditError

Row = Mapping[str, Any]
PARQUET_ROWS = 50_000
U128_DIGITS = 39


def write_csv(rows: Iterable[Row], names: Sequence[str], out: TextIO) -> int:
    """Header and rows; returns how many rows."""
    writer = csv.DictWriter(out, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 -- the count is the result
        writer.writerow(row)
    return count


def write_jsonl(rows: Iterable[Row], out: TextIO) -> int:
    """One JSON object a line. Amounts are integers of any size."""
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 -- the count is the result
        out.write(json.dumps(row, separators=(",", ":")) + "\n")
    return count


def write_parquet(rows: Iterable[Row], names: Sequence[str], amounts: frozenset[str], path: Path) -> int:
    """A Parquet file with exact decimals for amounts. Raises CannotAuditError when pyarrow is missing."""
    try:
        import pyarrow as pa  # noqa: PLC0415 -- 100 MB that only this format needs
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as exc:
        raise CannotAuditError("Parquet needs pyarrow: pip install 'wwwserve[parquet]', or use --format csv") from exc
    schema = pa.schema([(name, _arrow_type(pa, name, name in amounts)) for name in names])
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            columns = [pa.array([row[name] for row in batch], type=schema.field(name).type) for name in names]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(batch)
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, PARQUET_ROWS)):
        yield batch


_INTEGERS = frozenset(
    [
        *("generation", "seq", "position", "prompt_tokens", "completion_tokens", "status", "count", "block", "at"),
        *("log_index", "start_by", "received_at"),
        *("opened_block", "opened_at", "ended_block", "epoch", "attempt", "draw_block", "outcome"),
    ],
)


def _arrow_type(pa: Any, name: str, is_amount: bool) -> Any:  # noqa: ANN401, FBT001 -- pyarrow has no types
    if is_amount:
        return pa.decimal256(U128_DIGITS, 0)
    return pa.int64() if name in _INTEGERS else pa.string()
