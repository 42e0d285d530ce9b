"""Wanted transactions, durable before anything is sent: implements `ports.Outbox`. Signs and sends nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from node.adapters.ledger.chain_tables import chain_event, outbox, outbox_attempt
from node.adapters.ledger.store import Store
from node.adapters.ledger.upsert import lock
from node.core.transactions import Attempt, Call, OutboxRow, TxReceipt, TxState, Wish
from node.core.types import Address, Bytes32, Seconds

OUTBOX_LOCK = 0x77777775
"""PostgreSQL advisory lock: nonces of one sender are given out in turn."""
OPEN = frozenset({TxState.WANTED, TxState.SENT, TxState.UNKNOWN, TxState.MINED})


class SqlOutbox:
    """See ports.Outbox."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, wish: Wish) -> int | None:
        """See ports.Outbox."""
        return await self._store.write_with(add_wish, wish)

    async def load_open(self, sender: Address) -> Sequence[OutboxRow]:
        """See ports.Outbox."""
        return await self._store.read_with(load_open, sender)

    async def load_row(self, row_id: int) -> OutboxRow | None:
        """See ports.Outbox."""
        return await self._store.read_with(load_row, row_id)

    async def has_events(self, row: OutboxRow) -> bool:
        """See ports.Outbox."""
        return await self._store.read_with(has_events, row)

    async def save_attempt(self, row: OutboxRow, attempt: Attempt) -> bool:
        """See ports.Outbox."""
        return await self._store.write_with(save_attempt, row, attempt)

    async def save_state(
        self,
        row: OutboxRow,
        state: TxState,
        *,
        receipt: TxReceipt | None = None,
        reason: str = "",
    ) -> bool:
        """See ports.Outbox."""
        return await self._store.write_with(save_state, row, state, receipt=receipt, reason=reason)


def add_wish(connection: Connection, wish: Wish) -> int | None:
    """A new open row, unless one with this key is open."""
    lock(connection, OUTBOX_LOCK)
    if connection.execute(select(outbox.c.id).where(outbox.c.open_key == wish.key)).first():
        return None
    row = {
        "key": wish.key,
        "open_key": wish.key,
        "kind": wish.kind,
        "sender": wish.sender,
        "to_address": wish.call.to,
        "call_data": wish.call.data,
        "deadline": wish.deadline,
        "state": TxState.WANTED.value,
        "version": 0,
        "reason": "",
    }
    return int(connection.execute(insert(outbox).values(**row).returning(outbox.c.id)).scalar_one())


def load_open(connection: Connection, sender: Address) -> list[OutboxRow]:
    """Open rows of a sender, oldest first."""
    wanted = select(outbox).where(outbox.c.sender == sender, outbox.c.open_key.is_not(None)).order_by(outbox.c.id)
    return [_row_of(connection, row) for row in connection.execute(wanted).all()]


def load_row(connection: Connection, row_id: int) -> OutboxRow | None:
    """One row by id."""
    row = connection.execute(select(outbox).where(outbox.c.id == row_id)).first()
    return None if row is None else _row_of(connection, row)


def has_events(connection: Connection, row: OutboxRow) -> bool:
    """Asked seldom: of a transaction whose nonce is used and whose receipt nobody shows."""
    hashes = [attempt.tx_hash for attempt in row.attempts]
    found = select(chain_event.c.tx_hash).where(chain_event.c.tx_hash.in_(hashes)).limit(1)
    return connection.execute(found).first() is not None


def save_attempt(connection: Connection, row: OutboxRow, attempt: Attempt) -> bool:
    """State sent with one more attempt. A nonce that another row of this sender ever used is refused (threat: gaps)."""
    lock(connection, OUTBOX_LOCK)
    taken = (
        select(func.count())
        .select_from(outbox_attempt.join(outbox, outbox.c.id == outbox_attempt.c.outbox_id))
        .where(outbox.c.sender == row.wish.sender, outbox_attempt.c.nonce == attempt.nonce, outbox.c.id != row.id)
    )
    if connection.execute(taken).scalar_one() or not _step(connection, row, TxState.SENT, {}):
        return False
    signed = {name: getattr(attempt, name) for name in ("tx_hash", "nonce", "max_fee", "tip", "raw", "sent_at")}
    connection.execute(insert(outbox_attempt).values(outbox_id=row.id, number=len(row.attempts), **signed))
    return True


def save_state(
    connection: Connection,
    row: OutboxRow,
    state: TxState,
    *,
    receipt: TxReceipt | None,
    reason: str,
) -> bool:
    """Any other step. Once mined, the receipt stays unless a new one comes."""
    changes: dict[str, object] = {"reason": reason}
    if receipt is not None:
        changes |= {
            "mined_hash": receipt.tx_hash,
            "mined_number": receipt.block_number,
            "mined_block": receipt.block_hash,
            "gas_used": receipt.gas_used,
            "gas_price": receipt.gas_price,
            "is_success": int(receipt.is_success),
        }
    return _step(connection, row, state, changes)


def _step(connection: Connection, row: OutboxRow, state: TxState, changes: dict[str, object]) -> bool:
    """One write of a row, unless somebody wrote it since it was read."""
    open_key = row.wish.key if state in OPEN else None
    step = update(outbox).where(outbox.c.id == row.id, outbox.c.version == row.version)
    values = {"state": state.value, "open_key": open_key, "version": row.version + 1, **changes}
    return connection.execute(step.values(**values)).rowcount == 1


def _row_of(connection: Connection, row: Row[Any]) -> OutboxRow:
    wanted = select(outbox_attempt).where(outbox_attempt.c.outbox_id == row.id).order_by(outbox_attempt.c.number)
    attempts = tuple(
        Attempt(Bytes32(one.tx_hash), one.nonce, one.max_fee, one.tip, one.raw, Seconds(one.sent_at))
        for one in connection.execute(wanted)
    )
    call = Call(Address(row.to_address), row.call_data)
    wish = Wish(row.key, row.kind, Address(row.sender), call, Seconds(row.deadline))
    return OutboxRow(
        id=row.id,
        wish=wish,
        state=TxState(row.state),
        version=row.version,
        attempts=attempts,
        receipt=_receipt_of(row),
        reason=row.reason,
    )


def _receipt_of(row: Row[Any]) -> TxReceipt | None:
    if row.mined_hash is None:
        return None
    return TxReceipt(
        tx_hash=row.mined_hash,
        block_number=row.mined_number,
        block_hash=row.mined_block,
        gas_used=row.gas_used,
        gas_price=row.gas_price,
        is_success=bool(row.is_success),
    )
