"""Re-checks the cached totals against the rows they stand for (INV3, INV12, rule 2). Reads only; repairs nothing.

A job runs this on a quiet database or a snapshot; any finding means that the books must not be trusted.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, and_, func, select

from node.adapters.ledger.tables import account, lane, pair, receipt, reservation, voucher
from node.adapters.ledger.types import exact_sum

AccountKey = tuple[int, int]


def check_totals(connection: Connection) -> list[str]:
    """Every difference between what is cached and what the rows add up to, one line each; empty when all is well."""
    return [*_check_accounts(connection), *_check_pairs(connection), *_check_reservations(connection)]


def _check_accounts(connection: Connection) -> Iterator[str]:
    charged = _sums_of_receipts(connection)
    reserved = _sums_of_reservations(connection)
    best = _best_ceilings(connection)
    for row in connection.execute(select(account)):
        key = (row.lane_id, row.generation)
        total, count, seq, last, position = charged.get(key, (0, 0, 0, row.base, -1))
        found = (row.charged, row.reserved, row.best, row.seq, row._mapping["count"])  # noqa: SLF001 -- a method's name
        counted = (row.base + total, reserved.get(key, 0), best.get(key, 0), seq, count)
        if found != counted:
            yield f"account {key}: cached (charged, reserved, best, seq, count) {found}, rows say {counted}"
        if (last, position + 1) != (row.charged, count):
            yield f"account {key}: last receipt says cumulative {last} at position {position}"
        if row.charged + row.reserved > max(row.best, row.base):
            yield f"account {key}: {row.charged} + {row.reserved} is above the signed ceiling {row.best}"


def _sums_of_receipts(connection: Connection) -> dict[AccountKey, tuple[int, int, int, int, int]]:
    columns = (receipt.c.lane_id, receipt.c.generation)
    sums = select(
        *columns,
        exact_sum(receipt.c.charge),
        func.count(),
        func.max(receipt.c.seq),
        func.max(receipt.c.cumulative),
        func.max(receipt.c.position),
    ).group_by(*columns)
    return {(row[0], row[1]): (row[2], row[3], row[4], int(row[5]), row[6]) for row in connection.execute(sums)}


def _sums_of_reservations(connection: Connection) -> dict[AccountKey, int]:
    columns = (voucher.c.lane_id, voucher.c.generation)
    joined = reservation.join(voucher, voucher.c.id == reservation.c.voucher_id)
    sums = select(*columns, exact_sum(voucher.c.max_price)).select_from(joined).group_by(*columns)
    return {(row[0], row[1]): row[2] for row in connection.execute(sums)}


def _best_ceilings(connection: Connection) -> dict[AccountKey, int]:
    """The best voucher's own ceiling, where it is indeed the highest of its account."""
    columns = (voucher.c.lane_id, voucher.c.generation)
    highest = connection.execute(select(*columns, func.max(voucher.c.ceiling)).group_by(*columns))
    backed = connection.execute(
        select(account.c.lane_id, account.c.generation, voucher.c.ceiling).join(
            voucher, voucher.c.id == account.c.best_voucher_id
        ),
    )
    best = {(row[0], row[1]): int(row[2]) for row in highest}
    return {(row[0], row[1]): row[2] for row in backed if best.get((row[0], row[1])) == row[2]}


def _check_pairs(connection: Connection) -> Iterator[str]:
    held: dict[tuple[bytes, bytes], int] = {}
    for rows in _accounts_by_lane(connection).values():
        newest = max(rows, key=lambda row: row.generation)
        share = max(int(newest.charged), int(newest.claimed)) + sum(row.reserved for row in rows)
        pair_key = (bytes(newest.payer), bytes(newest.payee))
        held[pair_key] = held.get(pair_key, 0) + share
    for row in connection.execute(select(lane).where(lane.c.id.not_in(select(account.c.lane_id)))):
        held[bytes(row.payer), bytes(row.payee)] = held.get((bytes(row.payer), bytes(row.payee)), 0) + row.claimed
    for row in connection.execute(select(pair)):
        counted = held.get((bytes(row.payer), bytes(row.payee)), 0)
        if row.committed != counted:
            yield f"pair {row.payer.hex()}/{row.payee.hex()}: committed {row.committed}, its lanes hold {counted}"


def _accounts_by_lane(connection: Connection) -> dict[int, list[Any]]:
    columns = (lane.c.id, lane.c.payer, lane.c.payee, lane.c.claimed)
    wanted = select(*columns, account.c.generation, account.c.charged, account.c.reserved)
    by_lane: dict[int, list[Any]] = {}
    for row in connection.execute(wanted.join(account, account.c.lane_id == lane.c.id)):
        by_lane.setdefault(row.id, []).append(row)
    return by_lane


def _check_reservations(connection: Connection) -> Iterator[str]:
    """Reserved are exactly the vouchers without a receipt, those of accounts frozen after a restore apart."""
    has_receipt = select(receipt.c.voucher_id).where(receipt.c.voucher_id == voucher.c.id).exists()
    is_reserved = select(reservation.c.voucher_id).where(reservation.c.voucher_id == voucher.c.id).exists()
    frozen = and_(account.c.lane_id == voucher.c.lane_id, account.c.generation == voucher.c.generation)
    is_voided = select(account.c.lane_id).where(frozen, account.c.is_frozen == 1).exists()  # see restoring.py
    lost = connection.execute(select(voucher.c.id).where(~has_receipt, ~is_reserved, ~is_voided)).scalars()
    yield from (f"voucher {number}: neither reserved nor closed" for number in lost)
    double = connection.execute(select(voucher.c.id).where(has_receipt, is_reserved)).scalars()
    yield from (f"voucher {number}: closed and still reserved" for number in double)
