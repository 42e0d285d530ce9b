"""The ledger on SQLite or PostgreSQL: `migrate(url)`, then `open_ledger(url, clock)` for all of a node's books."""

from dataclasses import dataclass

from node.adapters.ledger.chain_book import SqlChainBook
from node.adapters.ledger.ledger import SqlLedger
from node.adapters.ledger.outbox import SqlOutbox
from node.adapters.ledger.queries import LedgerQueries
from node.adapters.ledger.schema import downgrade, migrate, open_engine
from node.adapters.ledger.settlement_book import SqlSettlementBook
from node.adapters.ledger.store import Store
from node.ports import Clock


@dataclass(frozen=True, slots=True)
class Books:
    """Everything a node keeps in one database, each behind its port. `start` inside the running loop."""

    store: Store
    ledger: SqlLedger
    chain: SqlChainBook
    settlement: SqlSettlementBook
    outbox: SqlOutbox
    queries: LedgerQueries

    def start(self) -> None:
        """Begin to take writes on the running loop."""
        self.store.start()

    async def stop(self) -> None:
        """Write what waits, then close."""
        await self.store.stop()


def open_ledger(url: str, clock: Clock, worker: str = "node") -> Books:
    """The books at that URL, whose schema must be up to date. Raises BadConfig for a URL it cannot use."""
    store = Store(open_engine(url))
    ledger = SqlLedger(store, clock, worker)
    return Books(store, ledger, SqlChainBook(store), SqlSettlementBook(store), SqlOutbox(store), LedgerQueries(store))


__all__ = [
    "Books",
    "SqlChainBook",
    "SqlLedger",
    "SqlOutbox",
    "SqlSettlementBook",
    "downgrade",
    "migrate",
    "open_ledger",
]
