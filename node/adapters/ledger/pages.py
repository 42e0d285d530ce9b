"""Pages of public rows, for the read-only routes: implements `ports.LedgerPages` over `queries`. Writes nothing."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from node.adapters.ledger import queries
from node.adapters.ledger.store import Store
from node.core.rows import COLUMNS, RowCursor, RowFilters, RowKind, RowPage

Load = Callable[[Connection, queries.Filters, RowCursor, int], queries.Page]
LOADS: Mapping[RowKind, Load] = {
    RowKind.RECEIPTS: queries.load_charges,
    RowKind.CHARGES: queries.load_charges,
    RowKind.CLAIMS: queries.load_claims,
    RowKind.VOUCHERS: queries.load_vouchers,
    RowKind.EVENTS: queries.load_events,
    RowKind.DUELS: queries.load_duels,
}


class SqlLedgerPages:
    """Each page on a snapshot of its own; keys keep pages apart whatever is written between them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_page(self, kind: RowKind, filters: RowFilters, after: RowCursor, limit: int) -> RowPage:
        """See ports.LedgerPages."""
        return await self._store.read_with(load_page, kind, filters, after, limit)


def load_page(connection: Connection, kind: RowKind, filters: RowFilters, after: RowCursor, limit: int) -> RowPage:
    """The public columns only."""
    wanted = queries.Filters(
        payer=filters.payer, payee=filters.payee, lane=filters.lane, since=filters.since, until=filters.until
    )
    page = LOADS[kind](connection, wanted, after, limit)
    return RowPage([{name: row[name] for name in COLUMNS[kind]} for row in page.rows], page.next)
