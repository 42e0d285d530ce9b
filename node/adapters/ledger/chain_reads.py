"""Reads of the chain's side of the books, inside a transaction that the caller opened. Writes nothing."""

import json
from collections.abc import Sequence
from functools import reduce
from typing import Any

from sqlalchemy import Connection, Row, Select, select, tuple_

from node.adapters.ledger.chain_tables import (
    chain_block,
    chain_cursor,
    chain_event,
    payee_operator,
    payee_state,
    provider,
    signer,
)
from node.adapters.ledger.tables import pair
from node.core.duel_facts import CourtFacts, DuelFacts, fold_court, fold_duel
from node.core.facts import Block, ChainEvent, Cursor, Kind, Subject, args_from_json
from node.core.folds import PayeeView, ProviderView
from node.core.membership.members import Registered
from node.core.types import ZERO_ADDRESS, Address, Amount, Bytes32, Seconds
from node.core.voucher import Standing

ENDED = "Finalized"
MOST_ENDED = 500
"""Read in one go; the rest comes with the next reading."""
_IS_MEMBERS = chain_event.c.kind == Kind.MEMBER.value


def load_cursor(connection: Connection) -> Cursor | None:
    """Where the books stand."""
    joined = chain_cursor.join(chain_block, chain_block.c.hash == chain_cursor.c.head_hash)
    row = connection.execute(select(chain_block, chain_cursor.c.finalised).select_from(joined)).first()
    return None if row is None else Cursor(_block_of(row), row.finalised)


def load_block(connection: Connection, number: int) -> Block | None:
    """A kept block by number."""
    row = connection.execute(select(chain_block).where(chain_block.c.number == number)).first()
    return None if row is None else _block_of(row)


def _block_of(row: Row[Any]) -> Block:
    return Block(
        number=row.number,
        hash=Bytes32(row.hash),
        parent=Bytes32(row.parent),
        timestamp=Seconds(row.timestamp),
    )


def load_history(connection: Connection, subject: Subject) -> list[ChainEvent]:
    """All events of one subject, in chain order."""
    return events_of(connection, _of(subject))


def load_last_settlement(connection: Connection, lane: Subject) -> list[ChainEvent]:
    """All that `replay_lane` needs of a lane's history, which grows with every settlement for as long as it lives."""
    settled = _of(lane).where(chain_event.c.name == "Settled")
    newest = settled.order_by(chain_event.c.block_number.desc(), chain_event.c.log_index.desc()).limit(1)
    return [_fact(row) for row in connection.execute(newest)]


def _of(subject: Subject) -> Select[Any]:
    return select(chain_event).where(chain_event.c.kind == subject.kind.value, chain_event.c.subject == subject.key)


def load_duel(connection: Connection, duel: Bytes32) -> DuelFacts:
    """A duel as of the newest booked block, replayed from its events; state NONE for one that was never opened."""
    return reduce(fold_duel, load_history(connection, Subject(Kind.DUEL, duel)), DuelFacts())


def load_running(connection: Connection) -> dict[Bytes32, DuelFacts]:
    """Every duel as of the newest booked block that has no end there."""
    ended = select(chain_event.c.subject).where(chain_event.c.kind == Kind.DUEL.value, chain_event.c.name == ENDED)
    wanted = select(chain_event).where(chain_event.c.kind == Kind.DUEL.value, chain_event.c.subject.not_in(ended))
    running: dict[Bytes32, DuelFacts] = {}
    for event in events_of(connection, wanted):
        key = event.bytes32("duelId")
        running[key] = fold_duel(running.get(key, DuelFacts()), event)
    return running


def load_ended(connection: Connection, after: tuple[int, int]) -> list[tuple[tuple[int, int], DuelFacts]]:
    """Duels whose end is final and later than a place in the chain, in the order of their ends."""
    cursor = load_cursor(connection)
    if cursor is None:
        return []
    place = tuple_(chain_event.c.block_number, chain_event.c.log_index)
    is_new = (chain_event.c.name == ENDED, place > after, chain_event.c.block_number <= cursor.finalised)
    ends = events_of(connection, select(chain_event).where(chain_event.c.kind == Kind.DUEL.value, *is_new))
    return [
        ((end.block_number, end.log_index), load_duel(connection, end.bytes32("duelId"))) for end in ends[:MOST_ENDED]
    ]


def load_court(connection: Connection) -> CourtFacts:
    """All members and weights as of the newest booked block, replayed from their events."""
    return reduce(fold_court, events_of(connection, select(chain_event).where(_IS_MEMBERS)), CourtFacts())


def events_of(connection: Connection, wanted: Select[tuple[object, ...]]) -> list[ChainEvent]:
    """Rows of chain_event as facts, in chain order."""
    ordered = wanted.order_by(chain_event.c.block_number, chain_event.c.log_index)
    return [_fact(row) for row in connection.execute(ordered)]


def _fact(row: Row[Any]) -> ChainEvent:
    return ChainEvent(
        block_number=row.block_number,
        block_hash=row.block_hash,
        log_index=row.log_index,
        tx_hash=row.tx_hash,
        contract=row.contract,
        name=row.name,
        args=args_from_json(json.loads(row.args)),
    )


def load_standing(connection: Connection, payee: Address, payer: Address, signer_address: Address) -> Standing:
    """Payee's generation, whom the signer signs for, and the pair's cover."""
    generation = connection.execute(select(payee_state.c.generation).where(payee_state.c.payee == payee)).scalar()
    cover = connection.execute(select(pair.c.cover).where(pair.c.payer == payer, pair.c.payee == payee)).scalar()
    return Standing(
        payee=payee,
        generation=generation or 0,
        signer_payer=_payer_of(connection, payer, signer_address),
        cover=Amount(cover or 0),
    )


def _payer_of(connection: Connection, payer: Address, signer_address: Address) -> Address:
    if signer_address == payer:
        return payer
    live = select(signer.c.payer).where(signer.c.signer == signer_address, signer.c.is_live == 1)
    return Address(connection.execute(live).scalar() or ZERO_ADDRESS)


def load_payee(connection: Connection, payee: Address) -> PayeeView:
    """A payee's keys; the empty view for one that the chain has not shown yet."""
    row = connection.execute(select(payee_state).where(payee_state.c.payee == payee)).first()
    if row is None:
        return PayeeView()
    keys = select(payee_operator.c.generation, payee_operator.c.operator).where(payee_operator.c.payee == payee)
    operators = {generation: Address(operator) for generation, operator in connection.execute(keys)}
    return PayeeView(row.generation, Address(row.operator), row.head_generation, operators)


def load_providers(connection: Connection) -> Sequence[ProviderView]:
    """Listed providers, by address."""
    wanted = select(provider).where(provider.c.is_listed == 1).order_by(provider.c.provider)
    return [
        ProviderView(
            provider=Address(row.provider),
            is_listed=True,
            endpoint=row.endpoint,
            offer_hash=Bytes32(row.offer_hash),
            stake=Amount(row.stake),
            unbonding=Amount(row.unbonding),
            unbond_end=Seconds(row.unbond_end),
        )
        for row in connection.execute(wanted)
    ]


def load_registered(connection: Connection) -> Sequence[Registered]:
    """Listed providers, each with the operator key of its newest generation."""
    newest = (payee_operator.c.payee == payee_state.c.payee) & (
        payee_operator.c.generation == payee_state.c.head_generation
    )
    keys = provider.join(payee_state, payee_state.c.payee == provider.c.provider).join(payee_operator, newest)
    wanted = select(provider, payee_operator.c.operator.label("operator_key")).select_from(keys)
    return [
        Registered(
            payee=Address(row.provider),
            operator=Address(row.operator_key),
            endpoint=row.endpoint,
            stake=Amount(row.stake),
            offer_hash=Bytes32(row.offer_hash),
        )
        for row in connection.execute(wanted.where(provider.c.is_listed == 1))
    ]
