"""Draws as they were signed, kept for auditors for a time. Appended, never edited, purged whole."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, tuple_

from node.adapters.ledger.store import Store
from node.adapters.ledger.tables import draw as draws
from node.adapters.ledger.upsert import add_missing
from node.core.types import Bytes32, Micros, Signature
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

    async def purge(self, before: Micros, most: int) -> int:
        """See ports.routing.DrawBook."""
        return await self._store.write_with(_purge, before, most)


def _keep(connection: Connection, key: dict[str, object], kept: KeptDraw) -> None:
    add_missing(
        connection, draws, [{**key, "document": kept.document, "signature": kept.signature, "made_at": kept.made_at}]
    )


def _load(connection: Connection, request_id: Bytes32) -> list[KeptDraw]:
    wanted = select(draws).where(draws.c.request_id == request_id).order_by(draws.c.round)
    rows = connection.execute(wanted)
    return [KeptDraw(row.document, Signature(row.signature), Micros(row.made_at)) for row in rows]


def _purge(connection: Connection, before: Micros, most: int) -> int:
    key = (draws.c.request_id, draws.c.round)
    old = select(*key).where(draws.c.made_at < before).order_by(draws.c.made_at).limit(most)
    return connection.execute(delete(draws).where(tuple_(*key).in_(old))).rowcount
