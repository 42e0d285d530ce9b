"""Freezing lanes and opening them again in a new generation (protocol rule 6).

Rare writes, each in its own transaction.
"""

from sqlalchemy import Connection, func, insert, select, update

from node.adapters.ledger.reads import load_lane
from node.adapters.ledger.tables import account, lane, pair
from node.core.account import LaneState
from node.core.errors import LaneFrozen, NotFound
from node.core.types import Address, Amount, LaneKey


def freeze_lanes(connection: Connection, payee: Address) -> int:
    """Admit nothing more in any present account of a payee (its books are older than the world).

    How many were frozen.
    """
    of_payee = select(lane.c.id).where(lane.c.payee == payee)
    frozen = update(account).where(account.c.lane_id.in_(of_payee), account.c.is_frozen == 0).values(is_frozen=1)
    return connection.execute(frozen).rowcount


def reopen_lane(connection: Connection, key: LaneKey, base: Amount) -> LaneState:
    """Start a generation's account at max(base, the escrow's claimed, what the books charged before).

    A lane that is open already is returned as it is: the base is fixed once. Raises NotFound without a pair and
    LaneFrozen while an earlier generation still has requests in flight.
    """
    lane_id, committed = _lock(connection, key)
    if committed is None:
        raise NotFound("the payer has allotted nothing to this payee")
    present = load_lane(connection, key) or LaneState(key)
    if lane_id is None:
        lane_id = _new_lane(connection, key)
    if _has_account(connection, lane_id, key.generation):
        return present
    _check_quiet(connection, lane_id, present)
    before = max(present.charged, present.claimed)
    begin = Amount(max(base, present.charged))
    row = {"lane_id": lane_id, "generation": key.generation, "base": begin, "charged": begin, "reserved": 0}
    connection.execute(insert(account).values(**row, best=0, best_voucher_id=None, seq=0, count=0, is_frozen=0))
    raised = update(pair).where(pair.c.payer == key.payer, pair.c.payee == key.payee)
    connection.execute(raised.values(committed=committed + begin - before))
    return LaneState(key, base=begin, charged=begin, claimed=present.claimed, cap=present.cap)


def _new_lane(connection: Connection, key: LaneKey) -> int:
    row = {"payer": key.payer, "payee": key.payee, "lane": key.lane, "claimed": 0}
    return int(connection.execute(insert(lane).values(**row).returning(lane.c.id)).scalar_one())


def _lock(connection: Connection, key: LaneKey) -> tuple[int | None, int | None]:
    """The lane's id and the pair's committed, under the pair's lock."""
    wanted = select(pair.c.committed).where(pair.c.payer == key.payer, pair.c.payee == key.payee).with_for_update()
    committed = connection.execute(wanted).scalar()
    of_lane = select(lane.c.id).where(lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    return connection.execute(of_lane).scalar(), committed


def _has_account(connection: Connection, lane_id: int, generation: int) -> bool:
    wanted = select(func.count()).where(account.c.lane_id == lane_id, account.c.generation == generation)
    return bool(connection.execute(wanted).scalar_one())


def _check_quiet(connection: Connection, lane_id: int, present: LaneState) -> None:
    """Requests in flight end with receipts of the old generation first: the base must include them."""
    reserved = connection.execute(select(account.c.reserved).where(account.c.lane_id == lane_id)).scalars()
    if any(reserved):
        raise LaneFrozen("requests of the old generation are still in flight", charged=present.charged)
