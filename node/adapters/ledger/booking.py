"""Booking blocks and undoing them, in the caller's transaction.

Blocks, events, what follows from them, and the cursor.
"""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from node.adapters.ledger.chain_reads import load_cursor
from node.adapters.ledger.chain_tables import chain_block, chain_cursor, chain_event
from node.adapters.ledger.derived import derive
from node.adapters.ledger.upsert import add_missing, lock, put
from node.core.errors import Broken
from node.core.facts import Block, ChainBatch, ChainEvent, Cursor, Kind, Subject, args_to_json, subject_of

CHAIN_LOCK = 0x77777774
"""PostgreSQL advisory lock: two workers may watch the chain for one database; they book in turn."""


def book(connection: Connection, batch: ChainBatch) -> None:
    """See ports.ChainBook.book. A gap is accepted where every missing block is at or below `finalised`."""
    lock(connection, CHAIN_LOCK)
    cursor = load_cursor(connection)
    finalised = max(batch.finalised, cursor.finalised if cursor else 0)
    blocks = sorted(batch.blocks, key=lambda block: block.number)
    _check_known(connection, blocks)
    _check_linked(cursor, blocks, finalised)
    telling = {event.block_hash for event in batch.events}
    kept = [block for block in blocks if block.number >= finalised or block.hash in telling]
    add_missing(connection, chain_block, [_block_row(block) for block in kept])
    add_missing(connection, chain_event, [_event_row(event) for event in batch.events])
    subjects = {subject_of(event) for event in batch.events}
    if cursor is not None and finalised > cursor.finalised:
        subjects |= _subjects_between(connection, cursor.finalised, finalised)
    derive(connection, subjects, finalised)
    head = max([*blocks, *([cursor.head] if cursor else [])], key=lambda block: block.number)
    put(connection, chain_cursor, {"id": 1, "head_hash": head.hash, "finalised": finalised})
    _prune(connection, cursor.finalised if cursor else 0, finalised, head)


def _check_known(connection: Connection, blocks: Sequence[Block]) -> None:
    """A block by a number that is booked already must be that very block."""
    numbers = [block.number for block in blocks]
    wanted = select(chain_block.c.number, chain_block.c.hash).where(chain_block.c.number.in_(numbers))
    known = {number: bytes(found) for number, found in connection.execute(wanted)}
    for block in blocks:
        if known.get(block.number, block.hash) != block.hash:
            raise Broken("another block is booked at this height: roll back first", number=block.number)


def _check_linked(cursor: Cursor | None, blocks: Sequence[Block], finalised: int) -> None:
    """Each block above the head is the child of the one before it."""
    before = cursor.head if cursor else None
    for block in blocks:
        if cursor is not None and block.number <= cursor.head.number:
            continue
        if before is not None and block.number == before.number + 1 and block.parent != before.hash:
            raise Broken("this block is not the child of the booked head: roll back first", number=block.number)
        if before is not None and block.number > before.number + 1 and block.number - 1 > finalised:
            raise Broken("a block that is not final yet is missing", number=block.number - 1)
        before = block


def roll_back(connection: Connection, number: int) -> None:
    """See ports.ChainBook.roll_back. The new head is the highest block kept at or below `number`."""
    lock(connection, CHAIN_LOCK)
    cursor = load_cursor(connection)
    if cursor is None or number >= cursor.head.number:
        return
    if number < cursor.finalised:
        raise Broken("a final block cannot be undone", number=number, finalised=cursor.finalised)
    subjects = _subjects_between(connection, number, cursor.head.number)
    connection.execute(delete(chain_event).where(chain_event.c.block_number > number))
    kept = select(chain_block.c.hash).where(chain_block.c.number <= number).order_by(chain_block.c.number.desc())
    head = connection.execute(kept.limit(1)).scalar()
    if head is None:
        connection.execute(delete(chain_cursor))
    else:
        put(connection, chain_cursor, {"id": 1, "head_hash": head, "finalised": cursor.finalised})
    connection.execute(delete(chain_block).where(chain_block.c.number > number))
    derive(connection, subjects, cursor.finalised)


def _subjects_between(connection: Connection, above: int, upto: int) -> set[Subject]:
    wanted = select(chain_event.c.kind, chain_event.c.subject).distinct()
    between = wanted.where(chain_event.c.block_number > above, chain_event.c.block_number <= upto)
    return {Subject(Kind(kind), bytes(key)) for kind, key in connection.execute(between)}


def _prune(connection: Connection, above: int, finalised: int, head: Block) -> None:
    """Final blocks without events say nothing any more; the finalised one stays as the place to roll back to."""
    has_events = select(chain_event.c.block_hash).where(chain_event.c.block_hash == chain_block.c.hash).exists()
    connection.execute(
        delete(chain_block)
        .where(chain_block.c.number >= above, chain_block.c.number < finalised)
        .where(chain_block.c.hash != head.hash, ~has_events),
    )


def _block_row(block: Block) -> dict[str, object]:
    return {"hash": block.hash, "number": block.number, "parent": block.parent, "timestamp": block.timestamp}


def _event_row(event: ChainEvent) -> dict[str, object]:
    subject = subject_of(event)
    return {
        "block_hash": event.block_hash,
        "log_index": event.log_index,
        "block_number": event.block_number,
        "tx_hash": event.tx_hash,
        "contract": event.contract,
        "name": event.name,
        "kind": subject.kind.value,
        "subject": subject.key,
        "args": json.dumps(args_to_json(event.args), sort_keys=True),
    }
