"""A watchtower's own table beside the chain's: the newest pushed claim of each lane and generation. Checks nothing."""

import json
from collections.abc import Sequence

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    and_,
    insert,
    select,
    update,
)

from node.adapters.ledger.chain_tables import payee_state, signer
from node.adapters.ledger.columns import address, amount, natural
from node.adapters.ledger.store import Store
from node.adapters.ledger.tables import lane, pair
from node.core.pushes import HeldClaim, push_from_json, push_to_json
from node.core.settlement import SignedClaim
from node.core.types import Address, Amount, Seconds

_own = MetaData()
tower_claim = Table(
    "tower_claim",
    _own,
    address("payer", is_key=True),
    address("payee", is_key=True),
    address("lane", is_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    natural("seq"),
    amount("cumulative"),
    Column("document", Text, nullable=False),
)


class SqlTowerBook:
    """See ports.TowerBook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def prepare(self) -> None:
        """Make the table."""
        await self._store.write_with(_own.create_all)

    async def keep(self, claims: Sequence[SignedClaim]) -> int:
        """See ports.TowerBook."""
        return await self._store.write_with(_keep, claims)

    async def load(self, payee: Address) -> Sequence[SignedClaim]:
        """See ports.TowerBook."""
        return await self._store.read_with(_load, payee)

    async def load_held(self) -> Sequence[HeldClaim]:
        """See ports.TowerBook."""
        return await self._store.read_with(_load_held)


def _keep(connection: Connection, claims: Sequence[SignedClaim]) -> int:
    kept = 0
    for signed in claims:
        claim = signed.claim
        key = {"payer": claim.payer, "payee": claim.payee, "lane": claim.lane, "generation": claim.generation}
        same = and_(*(tower_claim.c[name] == part for name, part in key.items()))
        document = json.dumps(push_to_json(signed))
        values = {"seq": claim.seq, "cumulative": claim.cumulative, "document": document}
        before = connection.execute(select(tower_claim.c.seq).where(same)).scalar()
        if before is None:
            connection.execute(insert(tower_claim).values(**key, **values))
        elif before < claim.seq:
            connection.execute(update(tower_claim).where(same).values(**values))
        kept += before is None or before < claim.seq
    return kept


def _load(connection: Connection, payee: Address) -> list[SignedClaim]:
    wanted = select(tower_claim.c.document).where(tower_claim.c.payee == payee)
    return [push_from_json(json.loads(text)) for text in connection.execute(wanted).scalars()]


def _load_held(connection: Connection) -> list[HeldClaim]:
    return [_held_of(row) for row in connection.execute(_held())]


def _held() -> Select[tuple[object, ...]]:
    own = tower_claim.c
    on_lane = and_(lane.c.payer == own.payer, lane.c.payee == own.payee, lane.c.lane == own.lane)
    on_pair = and_(pair.c.payer == own.payer, pair.c.payee == own.payee)
    joined = (
        tower_claim.outerjoin(lane, on_lane)
        .outerjoin(pair, on_pair)
        .outerjoin(signer, signer.c.signer == own.lane)
        .outerjoin(payee_state, payee_state.c.payee == own.payee)
    )
    ends = (pair.c.thaw_end, signer.c.thaw_end.label("signer_thaw_end"))
    return select(own.document, lane.c.claimed, *ends, payee_state.c.head_generation).select_from(joined)


def _held_of(row: Row[tuple[object, ...]]) -> HeldClaim:
    return HeldClaim(
        signed=push_from_json(json.loads(row.document)),
        claimed=Amount(row.claimed or 0),
        thaw_end=Seconds(row.thaw_end or 0),
        signer_thaw_end=Seconds(row.signer_thaw_end or 0),
        head_generation=row.head_generation or 0,
    )
