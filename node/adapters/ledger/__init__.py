"""The ledger on SQLite or PostgreSQL: `migrate(url)`, then `open_ledger(url, clock)` for all of a node's books."""

from dataclasses import dataclass

from node.adapters.ledger.chain_book import SqlChainBook
from node.adapters.ledger.draws import SqlDraws
from node.adapters.ledger.duel_store import SqlDuelStore
from node.adapters.ledger.high_water import HighWater
from node.adapters.ledger.ledger import SqlLedger
from node.adapters.ledger.offers import KeptOffer, SqlOffers
from node.adapters.ledger.outbox import SqlOutbox
from node.adapters.ledger.pages import SqlLedgerPages
from node.adapters.ledger.queries import LedgerQueries
from node.adapters.ledger.recovery_book import SqlRecoveryBook
from node.adapters.ledger.schema import downgrade, migrate, open_engine
from node.adapters.ledger.settlement_book import SqlSettlementBook
from node.adapters.ledger.store import Store
from node.ports.basics import Clock


@dataclass(frozen=True, slots=True)
class Books:
    """Everything a node keeps in one database, each behind its port. `start` inside the running loop."""

    store: Store
    ledger: SqlLedger
    chain: SqlChainBook
    settlement: SqlSettlementBook
    outbox: SqlOutbox
    recovery: SqlRecoveryBook
    offers: SqlOffers
    queries: LedgerQueries
    pages: SqlLedgerPages
    draws: SqlDraws
    duels: SqlDuelStore

    @property
    def high_water(self) -> HighWater:
        """How far receipts had come, from the file beside the key."""
        return self.store.high_water

    def start(self) -> None:
        """Begin to take writes on the running loop."""
        self.store.start()

    async def stop(self) -> None:
        """Write what waits, then close."""
        await self.store.stop()


def open_ledger(url: str, clock: Clock, worker: str = "node", high_water: HighWater | None = None) -> Books:
    """The books at that URL, whose schema must be up to date. Raises BadConfig for a URL it cannot use."""
    store = Store(open_engine(url), high_water)
    return Books(
        store=store,
        ledger=SqlLedger(store, clock, worker),
        chain=SqlChainBook(store),
        settlement=SqlSettlementBook(store),
        outbox=SqlOutbox(store),
        recovery=SqlRecoveryBook(store),
        offers=SqlOffers(store),
        queries=LedgerQueries(store),
        pages=SqlLedgerPages(store),
        draws=SqlDraws(store),
        duels=SqlDuelStore(store),
    )


__all__ = [
    "Books",
    "HighWater",
    "KeptOffer",
    "SqlChainBook",
    "SqlDraws",
    "SqlDuelStore",
    "SqlLedger",
    "SqlLedgerPages",
    "SqlOffers",
    "SqlOutbox",
    "SqlRecoveryBook",
    "SqlSettlementBook",
    "downgrade",
    "migrate",
    "open_ledger",
]
