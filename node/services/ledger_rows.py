"""The books for auditors, row by row: one page, or everything that matches as a stream. Writes nothing.

A stream is read page by page, so neither memory nor a database snapshot grows with it; few run at once, because
anybody may ask and the serve path reads with the same threads.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from node.core.errors import Overloaded
from node.core.rows import COLUMNS, LONGEST_PAGE, ROWS_START, ColumnType, RowCursor, RowFilters, RowKind
from node.core.wire import hex_of
from node.ports.ledger import LedgerPages

MAX_STREAMS = 2
"""Streams at once in a process."""
MAX_READS = 2
"""Pages read at once: fewer than the ledger has threads for reading, so that the serve path always finds one."""
STREAM_RETRY_SECONDS = 10
Row = Mapping[str, Any]


class LedgerRows:
    """The read routes' use case."""

    def __init__(self, pages: LedgerPages) -> None:
        self._pages = pages
        self._streams = 0
        self._turns = asyncio.Semaphore(MAX_READS)

    async def page(
        self, kind: RowKind, filters: RowFilters, after: RowCursor, limit: int
    ) -> tuple[list[Row], RowCursor | None]:
        """Up to `limit` rows, oldest first, and where the next page begins. Amounts are decimal strings."""
        async with self._turns:
            page = await self._pages.load_page(kind, filters, after, min(limit, LONGEST_PAGE))
        return _shown(kind, page.rows), page.next

    @asynccontextmanager
    async def stream(self, kind: RowKind, filters: RowFilters) -> AsyncIterator[AsyncIterator[list[Row]]]:
        """Everything that matches, in batches. Raises Overloaded when as many streams run as may."""
        if self._streams >= MAX_STREAMS:
            raise Overloaded("too many exports run at once", retry_after=STREAM_RETRY_SECONDS)
        self._streams += 1
        try:
            yield self._batches(kind, filters)
        finally:
            self._streams -= 1

    async def _batches(self, kind: RowKind, filters: RowFilters) -> AsyncIterator[list[Row]]:
        after: RowCursor | None = ROWS_START
        while after is not None:
            rows, after = await self.page(kind, filters, after, LONGEST_PAGE)
            yield rows


def _shown(kind: RowKind, rows: Sequence[Row]) -> list[Row]:
    columns = COLUMNS[kind]
    return [{name: _plain(row[name], of_type) for name, of_type in columns.items()} for row in rows]


def _plain(value: Any, of_type: ColumnType) -> Any:  # noqa: ANN401 -- whatever a column holds
    """As everywhere on the wire: hex, decimal strings for amounts, integers; a signature not yet kept is null."""
    if value is None:
        return None
    if of_type == "bytes":
        return hex_of(bytes(value))
    return str(value) if of_type == "amount" else value
