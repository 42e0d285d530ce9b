"""The ledger on SQLite or PostgreSQL: `open_ledger(url, clock, worker)` after `migrate(url)`."""

from node.adapters.ledger.ledger import SqlLedger
from node.adapters.ledger.schema import migrate, open_engine
from node.ports import Clock


def open_ledger(url: str, clock: Clock, worker: str = "node") -> SqlLedger:
    """The books at that URL, whose schema must be up to date. Raises BadConfig for a URL it cannot use."""
    return SqlLedger(open_engine(url), clock, worker)


__all__ = ["SqlLedger", "migrate", "open_ledger"]
