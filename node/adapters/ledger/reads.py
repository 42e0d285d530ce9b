"""Reads of the payee's books for the services, each on a snapshot of its own. Writes nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from node.adapters.ledger.chain_tables import signer
from node.adapters.ledger.stored import STORED, stored_of
from node.adapters.ledger.tables import account, lane, lease, pair, receipt, reservation, voucher
from node.core.account import Admission, LaneState, PairState
from node.core.messages import Voucher
from node.core.types import U128_MAX, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.ports.ledger import Stored


def load_stored(connection: Connection, voucher_ids: Sequence[int]) -> list[Stored]:
    """Whole requests by voucher id, in the given order."""
    if not voucher_ids:
        return []
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join([mark] * len(voucher_ids))
    text = f"{STORED.format(wanted='')} WHERE voucher.id IN ({marks})"
    found = {row[0]: tuple(row) for row in connection.exec_driver_sql(text, tuple(voucher_ids))}
    return [stored_of(found[number]) for number in voucher_ids if number in found]


def load_request(connection: Connection, payer: Address, lane_address: Address, request_id: Bytes32) -> Stored | None:
    """One request by its id, in whatever generation."""
    wanted = (
        select(voucher.c.id)
        .join(lane, lane.c.id == voucher.c.lane_id)
        .where(lane.c.payer == payer, lane.c.lane == lane_address, voucher.c.request_id == request_id)
    )
    found = load_stored(connection, list(connection.execute(wanted).scalars()))
    return found[0] if found else None


def load_pair(connection: Connection, payer: Address, payee: Address) -> PairState | None:
    """The pair's totals."""
    wanted = select(pair.c.cover, pair.c.committed).where(pair.c.payer == payer, pair.c.payee == payee)
    row = connection.execute(wanted).first()
    return None if row is None else PairState(payer, payee, Amount(row.cover), Amount(row.committed))


def load_lane(connection: Connection, key: LaneKey) -> LaneState | None:
    """The totals of a lane in one generation. None when nothing was ever admitted or claimed there."""
    rows = connection.execute(_accounts_of(key)).all()
    if not rows:
        return None
    cap = Amount(U128_MAX if key.lane == key.payer else rows[0].cap or 0)
    for row in rows:
        if row.generation == key.generation:
            return _state_of(key, row, cap)
    charged = max(row.charged or 0 for row in rows)
    claimed = Amount(rows[0].claimed)
    if not claimed and rows[0].generation is None:
        return None
    charged = Amount(max(charged, claimed))
    return LaneState(key, base=charged, charged=charged, claimed=claimed, cap=cap, is_frozen=True)


def _accounts_of(key: LaneKey) -> Select[Any]:
    joined = lane.outerjoin(account, account.c.lane_id == lane.c.id).outerjoin(signer, signer.c.signer == lane.c.lane)
    return (
        select(lane.c.id, lane.c.claimed, signer.c.cap, *(column for column in account.c if column.name != "lane_id"))
        .select_from(joined)
        .where(lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    )


def _state_of(key: LaneKey, row: Row[Any], cap: Amount) -> LaneState:
    return LaneState(
        key=key,
        base=row.base,
        charged=row.charged,
        reserved=row.reserved,
        best=row.best,
        claimed=row.claimed,
        cap=cap,
        seq=row.seq,
        count=row._mapping["count"],  # noqa: SLF001 -- `count` is a method of every row
        is_frozen=bool(row.is_frozen),
    )


def load_receipts(connection: Connection, key: LaneKey, after: Micros, limit: int) -> list[Stored]:
    """Receipts of a lane and generation with seq > `after`, in order."""
    wanted = (
        select(receipt.c.voucher_id)
        .join(lane, lane.c.id == receipt.c.lane_id)
        .where(lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
        .where(receipt.c.generation == key.generation, receipt.c.seq > after)
        .order_by(receipt.c.seq)
        .limit(limit)
    )
    return load_stored(connection, list(connection.execute(wanted).scalars()))


def load_receipts_from(connection: Connection, key: LaneKey, index: int, limit: int) -> list[Stored]:
    """Receipts of a lane and generation from leaf `index` of its tree on."""
    wanted = (
        select(receipt.c.voucher_id)
        .join(lane, lane.c.id == receipt.c.lane_id)
        .where(lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
        .where(receipt.c.generation == key.generation)
        .order_by(
            receipt.c.seq
        )  # leaves are in the order of seq; skipping index entries is cheaper than one more index
        .offset(index)
        .limit(limit)
    )
    return load_stored(connection, list(connection.execute(wanted).scalars()))


def load_best_voucher(connection: Connection, key: LaneKey) -> tuple[Voucher, Signature] | None:
    """The voucher that backs `LaneState.best`."""
    wanted = (
        select(account.c.best_voucher_id)
        .join(lane, lane.c.id == account.c.lane_id)
        .where(lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
        .where(account.c.generation == key.generation)
    )
    found = load_stored(connection, [one for one in connection.execute(wanted).scalars() if one is not None])
    return (found[0].admission.voucher, found[0].admission.signature) if found else None


def load_abandoned(connection: Connection, now: Seconds, doubtful: Sequence[Admission]) -> list[Admission]:
    """Open requests of expired leases, and the open ones among `doubtful`."""
    wanted = (
        select(reservation.c.voucher_id)
        .join(voucher, voucher.c.id == reservation.c.voucher_id)
        .join(lease, lease.c.id == voucher.c.lease)
        .where(lease.c.expires_at <= now)
        .order_by(reservation.c.voucher_id)
    )
    ids = list(connection.execute(wanted).scalars())
    abandoned = [stored.admission for stored in load_stored(connection, ids)]
    for admission in doubtful:
        found = load_request(connection, admission.key.payer, admission.key.lane, admission.request_id)
        if found is not None and found.receipt is None and found.admission == admission:
            abandoned.append(admission)
    return abandoned
