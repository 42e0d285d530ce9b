"""The rows that say what a subject's events add up to, replayed by `core.folds` and put in the caller's transaction."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from node.adapters.ledger.chain_reads import load_history, load_last_settlement
from node.adapters.ledger.chain_tables import payee_operator, payee_state, provider, signer
from node.adapters.ledger.tables import account, lane, pair
from node.adapters.ledger.upsert import add_missing, put
from node.core.facts import ChainEvent, Kind, Subject
from node.core.folds import replay_lane, replay_pair, replay_payee, replay_provider, replay_signer
from node.core.types import Amount


def derive(connection: Connection, subjects: Iterable[Subject], finalised: int) -> None:
    """Replay each subject. Pairs and lanes in the order of their addresses: admissions lock pairs in that order too."""
    for subject in sorted(subjects, key=lambda one: (one.key[:40], one.kind)):
        write = _WRITERS.get(subject.kind)
        if write is not None:
            load = load_last_settlement if subject.kind == Kind.LANE else load_history
            write(connection, subject.key, load(connection, subject), finalised)


def _put_pair(connection: Connection, key: bytes, events: Sequence[ChainEvent], finalised: int) -> None:
    _lock_pair(connection, key)
    view = replay_pair(events, finalised)
    seen = {"cover": view.cover, "thawing": view.thawing, "thaw_end": view.thaw_end}
    connection.execute(update(pair).where(pair.c.payer == key[:20], pair.c.payee == key[20:]).values(**seen))


def _lock_pair(connection: Connection, key: bytes) -> int:
    """The pair's row under its lock, made when it is new; what its lanes hold."""
    empty = {"payer": key[:20], "payee": key[20:40], "cover": 0, "committed": 0, "thawing": 0, "thaw_end": 0}
    add_missing(connection, pair, [empty])
    wanted = select(pair.c.committed).where(pair.c.payer == key[:20], pair.c.payee == key[20:40]).with_for_update()
    return int(connection.execute(wanted).scalar_one())


def _put_lane(connection: Connection, key: bytes, events: Sequence[ChainEvent], _finalised: int) -> None:
    put_claimed(connection, key, replay_lane(events).claimed)


def put_claimed(connection: Connection, key: bytes, claimed: Amount) -> None:
    """A lane's `claimed` at the head; its pair's committed follows by what the lane's share changes (rule 2)."""
    committed = _lock_pair(connection, key)
    own = (lane.c.payer == key[:20], lane.c.payee == key[20:40], lane.c.lane == key[40:])
    row = connection.execute(select(lane.c.id, lane.c.claimed).where(*own)).first()
    before, charged = 0, 0
    if row is None:
        made = insert(lane).values(payer=key[:20], payee=key[20:40], lane=key[40:], claimed=claimed)
        connection.execute(made)
    else:
        newest = select(account.c.charged).where(account.c.lane_id == row.id).order_by(account.c.generation.desc())
        before, charged = row.claimed, connection.execute(newest.limit(1)).scalar() or 0
        connection.execute(update(lane).where(lane.c.id == row.id).values(claimed=claimed))
    total = committed - max(charged, before) + max(charged, claimed)
    connection.execute(update(pair).where(pair.c.payer == key[:20], pair.c.payee == key[20:40]).values(committed=total))


def _put_signer(connection: Connection, key: bytes, events: Sequence[ChainEvent], finalised: int) -> None:
    view = replay_signer(events, finalised)
    row = {"signer": key, "payer": view.payer, "cap": view.cap, "thaw_end": view.thaw_end}
    put(connection, signer, {**row, "is_live": int(view.is_live)})


def _put_payee(connection: Connection, key: bytes, events: Sequence[ChainEvent], finalised: int) -> None:
    view = replay_payee(events, finalised)
    row = {"payee": key, "generation": view.generation, "operator": view.operator}
    put(connection, payee_state, {**row, "head_generation": view.head_generation})
    connection.execute(delete(payee_operator).where(payee_operator.c.payee == key))
    keys = [
        {"payee": key, "generation": number, "operator": operator}
        for number, operator in sorted((view.operators or {}).items())
    ]
    add_missing(connection, payee_operator, keys)


def _put_provider(connection: Connection, key: bytes, events: Sequence[ChainEvent], finalised: int) -> None:
    final = [event for event in events if event.block_number <= finalised]
    view = replay_provider(final)
    row = {
        "provider": key,
        "is_listed": int(view.is_listed),
        "endpoint": view.endpoint,
        "offer_hash": view.offer_hash,
        "stake": view.stake,
        "unbonding": view.unbonding,
        "unbond_end": view.unbond_end,
    }
    put(connection, provider, row)


_WRITERS: dict[Kind, Callable[[Connection, bytes, Sequence[ChainEvent], int], None]] = {
    Kind.PAIR: _put_pair,
    Kind.LANE: _put_lane,
    Kind.SIGNER: _put_signer,
    Kind.PAYEE: _put_payee,
    Kind.PROVIDER: _put_provider,
}
"""A payer's free balance (Kind.PAYER) is nothing a node acts on; duels and members are replayed when they are read."""
