"""Lanes with something unclaimed, for `core.settlement.plan`. Reads only; decides nothing."""

from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from node.adapters.ledger.chain_tables import outbox, outbox_claim, signer
from node.adapters.ledger.reads import load_stored
from node.adapters.ledger.tables import account, claim, lane, pair, receipt
from node.core.settlement import DueLane
from node.core.types import U128_MAX, Address, Amount, LaneKey, Micros, Seconds

MICROS = 1_000_000


def load_due(connection: Connection, payee: Address, limit: int) -> list[DueLane]:
    """Lanes and generations with `charged` above what is claimed or on its way, the largest unclaimed first."""
    on_its_way = _on_its_way(connection, payee)
    found = [(row, _claimed(row, on_its_way)) for row in connection.execute(_unclaimed(payee))]
    owing = [(row, claimed) for row, claimed in found if row.charged > claimed]
    owing.sort(key=lambda entry: entry[1] - entry[0].charged)
    return [_due_of(connection, row, claimed) for row, claimed in owing[:limit]]


def _unclaimed(payee: Address) -> Select[Any]:
    """Accounts that have charged more than the escrow has paid. Padded text compares like the number it is."""
    joined = (
        account.join(lane, lane.c.id == account.c.lane_id)
        .join(pair, and_(pair.c.payer == lane.c.payer, pair.c.payee == lane.c.payee))
        .outerjoin(signer, signer.c.signer == lane.c.lane)
    )
    columns = (lane.c.payer, lane.c.payee, lane.c.lane, lane.c.claimed, pair.c.thaw_end, signer.c.cap, *account.c)
    wanted = select(*columns).select_from(joined)
    return wanted.where(
        lane.c.payee == payee, account.c.charged > lane.c.claimed, account.c.best_voucher_id.is_not(None)
    )


def _on_its_way(connection: Connection, payee: Address) -> dict[tuple[int, int], int]:
    """The highest cumulative a lane and generation has in an open transaction."""
    joined = (
        claim.join(outbox_claim, outbox_claim.c.claim_id == claim.c.id)
        .join(outbox, outbox.c.id == outbox_claim.c.outbox_id)
        .join(lane, lane.c.id == claim.c.lane_id)
    )
    wanted = select(claim.c.lane_id, claim.c.generation, claim.c.cumulative).select_from(joined)
    highest: dict[tuple[int, int], int] = {}
    rows = connection.execute(wanted.where(outbox.c.open_key.is_not(None), lane.c.payee == payee))
    for lane_id, generation, cumulative in rows:
        highest[lane_id, generation] = max(cumulative, highest.get((lane_id, generation), 0))
    return highest


def _claimed(row: Row[Any], on_its_way: dict[tuple[int, int], int]) -> int:
    return max(int(row.claimed), on_its_way.get((row.lane_id, row.generation), 0))


def _due_of(connection: Connection, row: Row[Any], claimed: int) -> DueLane:
    admission = load_stored(connection, [row.best_voucher_id])[0].admission
    is_own = row.lane == row.payer
    return DueLane(
        key=LaneKey(Address(row.payer), Address(row.payee), Address(row.lane), row.generation),
        charged=Amount(row.charged),
        claimed=Amount(claimed),
        seq=Micros(row.seq),
        count=row._mapping["count"],  # noqa: SLF001 -- `count` is a method of every row
        since=_since(connection, row, claimed),
        thaw_end=Seconds(row.thaw_end),
        cap=Amount(U128_MAX if is_own or row.cap is None else row.cap),
        voucher=admission.voucher,
        voucher_signature=admission.signature,
    )


def _since(connection: Connection, row: Row[Any], claimed: int) -> Seconds:
    """When the oldest unclaimed receipt was made. Looked for from the last claim that is paid in full on."""
    own = (claim.c.lane_id == row.lane_id, claim.c.generation == row.generation)
    paid = select(claim.c.seq).where(*own, claim.c.cumulative <= claimed).order_by(claim.c.count.desc()).limit(1)
    first = connection.execute(paid).scalar() or 0
    oldest = (
        select(receipt.c.seq)
        .where(receipt.c.lane_id == row.lane_id, receipt.c.generation == row.generation)
        .where(receipt.c.seq > first, receipt.c.cumulative > claimed)
        .order_by(receipt.c.seq)
        .limit(1)
    )
    return Seconds((connection.execute(oldest).scalar() or row.seq) // MICROS)
