"""Draws as they were signed, kept for auditors. Appended, never edited."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from node.adapters.ledger.store import Store
from node.adapters.ledger.tables import draw as draws
from node.adapters.ledger.upsert import add_missing
from node.core.types import Bytes32, Signature
from node.ports.routing import KeptDraw


class SqlDraws:
    """ports.routing.DrawBook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, request_id: Bytes32, number: int, kept: KeptDraw) -> None:
        """See ports.routing.DrawBook."""
        await self._store.write_with(_keep, {"request_id": request_id, "round": number}, kept)

    async def load(self, request_id: Bytes32) -> Sequence[KeptDraw]:
        """See ports.routing.DrawBook."""
        return await self._store.read_with(_load, request_id)


def _keep(connection: Connection, key: dict[str, object], kept: KeptDraw) -> None:
    add_missing(connection, draws, [{**key, "document": kept.document, "signature": kept.signature}])


def _load(connection: Connection, request_id: Bytes32) -> list[KeptDraw]:
    wanted = select(draws).where(draws.c.request_id == request_id).order_by(draws.c.round)
    return [KeptDraw(row.document, Signature(row.signature)) for row in connection.execute(wanted)]
