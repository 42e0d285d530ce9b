"""Signed claims: stored once each, with the peaks of the receipts tree they commit. Signs nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from node.adapters.ledger.chain_tables import outbox, outbox_claim
from node.adapters.ledger.outbox import OUTBOX_LOCK, add_wish
from node.adapters.ledger.reads import load_stored
from node.adapters.ledger.tables import account, claim, lane, voucher
from node.adapters.ledger.upsert import lock
from node.core.errors import Broken
from node.core.merkle import Peaks
from node.core.messages import Claim
from node.core.settlement import SignedClaim
from node.core.transactions import Wish
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros


def save_claims(connection: Connection, claimed: Sequence[SignedClaim], wish: Wish) -> int | None:
    """Claims and their wanted transaction; None when an open transaction carries one of them, or has the same key."""
    lock(connection, OUTBOX_LOCK)
    known = [number for one in claimed if (number := _find(connection, one)) is not None]
    carried = outbox_claim.join(outbox, outbox.c.id == outbox_claim.c.outbox_id)
    busy = select(outbox_claim.c.claim_id).select_from(carried).where(outbox.c.open_key.is_not(None))
    if known and connection.execute(busy.where(outbox_claim.c.claim_id.in_(known))).first():
        return None
    outbox_id = add_wish(connection, wish)
    if outbox_id is not None:
        rows = [{"outbox_id": outbox_id, "claim_id": _keep(connection, one)} for one in claimed]
        connection.execute(insert(outbox_claim), rows)
    return outbox_id


def keep_claim(connection: Connection, signed: SignedClaim) -> None:
    """A claim that was mined already, made again for books that had lost it: no transaction is wanted."""
    lock(connection, OUTBOX_LOCK)
    _keep(connection, signed)


def _find(connection: Connection, signed: SignedClaim) -> int | None:
    """The id of this claim's row. Raises Broken when another claim was signed for the same receipts (INV9)."""
    made = signed.claim
    lane_id = _lane_id(connection, _key_of(made))
    same = (claim.c.lane_id == lane_id, claim.c.generation == made.generation, claim.c.count == made.count)
    found = connection.execute(select(claim.c.id, claim.c.receipts_root, claim.c.cumulative).where(*same)).first()
    if found is None:
        return None
    if (bytes(found.receipts_root), found.cumulative) != (made.receipts_root, made.cumulative):
        raise Broken("another claim was signed for the same receipts", lane="0x" + made.lane.hex(), count=made.count)
    return int(found.id)


def _keep(connection: Connection, signed: SignedClaim) -> int:
    """The id of a claim's row, made when it is new; a lane has one claim a count of receipts."""
    found = _find(connection, signed)
    if found is not None:
        return found
    made = signed.claim
    lane_id = _lane_id(connection, _key_of(made))
    row = {
        "lane_id": lane_id,
        "generation": made.generation,
        "seq": made.seq,
        "cumulative": made.cumulative,
        "receipts_root": made.receipts_root,
        "count": made.count,
        "peaks": b"".join(signed.peaks.hashes),
        "signature": signed.signature,
        "voucher_id": _voucher_id(connection, lane_id, signed),
    }
    return int(connection.execute(insert(claim).values(**row).returning(claim.c.id)).scalar_one())


def _key_of(made: Claim) -> LaneKey:
    return LaneKey(made.payer, made.payee, made.lane, made.generation)


def _lane_id(connection: Connection, key: LaneKey) -> int:
    own = (lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    found = connection.execute(select(lane.c.id).where(*own)).scalar()
    if found is None:
        raise Broken("a claim for a lane that the books do not know", lane="0x" + key.lane.hex())
    return int(found)


def _voucher_id(connection: Connection, lane_id: int, signed: SignedClaim) -> int:
    """The stored voucher that the claim stands on: nearly always the lane's best."""
    of_account = (account.c.lane_id == lane_id, account.c.generation == signed.claim.generation)
    best = select(account.c.best_voucher_id).where(*of_account).scalar_subquery()
    same = (voucher.c.context == signed.voucher.context, voucher.c.ceiling == signed.voucher.ceiling)
    found = connection.execute(select(voucher.c.id).where(voucher.c.id == best, *same)).scalar()
    if found is None:
        found = connection.execute(select(voucher.c.id).where(voucher.c.lane_id == lane_id, *same)).scalar()
    if found is None:
        raise Broken("a claim on a voucher that the books do not hold", ceiling=signed.voucher.ceiling)
    return int(found)


def load_last_claim(connection: Connection, key: LaneKey) -> SignedClaim | None:
    """The claim with the most receipts of a lane and generation."""
    own = (lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    wanted = _claims().where(*own, claim.c.generation == key.generation).order_by(claim.c.count.desc())
    return _first(connection, wanted)


def load_claim_of_root(connection: Connection, root: Bytes32) -> SignedClaim | None:
    """The claim that committed to a root."""
    return _first(connection, _claims().where(claim.c.receipts_root == root))


def load_peaks(connection: Connection, key: LaneKey, most: int) -> Peaks:
    """The tree of the longest claim over at most `most` receipts."""
    own = (lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    wanted = _claims().where(*own, claim.c.generation == key.generation, claim.c.count <= most)
    row = connection.execute(wanted.order_by(claim.c.count.desc()).limit(1)).first()
    return Peaks() if row is None else _peaks_of(row)


def _peaks_of(row: Row[Any]) -> Peaks:
    hashes = tuple(Bytes32(row.peaks[start : start + 32]) for start in range(0, len(row.peaks), 32))
    return Peaks(row._mapping["count"], hashes)  # noqa: SLF001 -- `count` is a method of every row


def _claims() -> Select[Any]:
    columns = (lane.c.payer, lane.c.payee, lane.c.lane, *claim.c)
    return select(*columns).select_from(claim.join(lane, lane.c.id == claim.c.lane_id))


def _first(connection: Connection, wanted: Select[Any]) -> SignedClaim | None:
    row = connection.execute(wanted.limit(1)).first()
    return None if row is None else _signed_of(connection, row)


def _signed_of(connection: Connection, row: Row[Any]) -> SignedClaim:
    admission = load_stored(connection, [row.voucher_id])[0].admission
    peaks = _peaks_of(row)
    made = Claim(
        payer=Address(row.payer),
        payee=Address(row.payee),
        lane=Address(row.lane),
        generation=row.generation,
        seq=Micros(row.seq),
        cumulative=Amount(row.cumulative),
        receipts_root=Bytes32(row.receipts_root),
        count=peaks.count,
    )
    return SignedClaim(made, row.signature, admission.voucher, admission.signature, peaks)
