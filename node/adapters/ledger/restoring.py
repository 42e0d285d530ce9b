"""Books that were restored from a backup, brought up to the world: what is missing, and putting receipts back (rule 6).

Rare work, each function in the caller's transaction. It signs nothing and believes nothing: its caller has checked
every signature. Receipts are put back only where they continue the account without a gap (INV12).
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, select, text, update

from node.adapters.ledger import tables
from node.adapters.ledger.chain_reads import load_history, load_last_settlement
from node.adapters.ledger.hot import Row, Session, Words
from node.adapters.ledger.leases import take_lease
from node.adapters.ledger.rows import Agreements, next_number, receipt_row, voucher_row, write_totals
from node.adapters.ledger.tables import account, lane, pair, reservation, voucher
from node.adapters.ledger.working import AccountRow, LaneRow, WorkingSet, load_open, load_requests, load_working_set
from node.core.account import LaneState
from node.core.facts import Kind, Subject
from node.core.folds import replay_lane
from node.core.recovery import LaneGap, Mark, SettledClaim
from node.core.types import Address, Amount, LaneKey, Micros
from node.ports.ledger import Stored

COUNT = "SELECT coalesce(sum(account.count), 0) FROM account"
SEQ = "SELECT coalesce(max(receipt.seq), 0) FROM receipt"
"""Both are quick: one row a lane and generation; the end of an index."""


def load_mark(connection: Connection, generation: int) -> Mark:
    """How far the books' receipts have come."""
    count, seq = connection.execute(text(COUNT)).scalar_one(), connection.execute(text(SEQ)).scalar_one()
    return Mark(generation, int(count), Micros(int(seq)))


def load_claimed_ahead(connection: Connection, payee: Address, generation: int) -> list[LaneGap]:
    """Lanes of which the escrow has paid more in this generation than the books have charged."""
    joined = lane.outerjoin(account, account.c.lane_id == lane.c.id)
    columns = (lane.c.payer, lane.c.lane, lane.c.claimed, account.c.charged)
    charged: dict[LaneKey, tuple[int, int]] = {}
    for row in connection.execute(select(*columns).select_from(joined).where(lane.c.payee == payee)):
        key = LaneKey(Address(row.payer), payee, Address(row.lane), generation)
        before = charged.get(key, (0, 0))[1]
        charged[key] = (row.claimed, max(before, row.charged or 0))
    ahead = [(key, claimed, known) for key, (claimed, known) in charged.items() if claimed > known]
    return [
        LaneGap(key, Amount(known), Amount(claimed), "the escrow")
        for key, claimed, known in ahead
        if replay_lane(load_last_settlement(connection, _subject(key))).generation == generation
    ]


def _subject(key: LaneKey) -> Subject:
    return Subject(Kind.LANE, key.payer + key.payee + key.lane)


def void_reservations(connection: Connection, payee: Address) -> int:
    """Drop the requests that a backup still held open: a receipt for one, signed now, could contradict a lost one.

    Only of frozen accounts. Their vouchers stay, without a receipt; how many there were.
    """
    joined = reservation.join(voucher, voucher.c.id == reservation.c.voucher_id)
    joined = joined.join(
        account, (account.c.lane_id == voucher.c.lane_id) & (account.c.generation == voucher.c.generation)
    ).join(lane, lane.c.id == account.c.lane_id)
    frozen = (lane.c.payee == payee, account.c.is_frozen == 1)
    ids = list(connection.execute(select(reservation.c.voucher_id).select_from(joined).where(*frozen)).scalars())
    connection.execute(delete(reservation).where(reservation.c.voucher_id.in_(ids)))
    held = select(lane.c.payer, account).join(lane, lane.c.id == account.c.lane_id)
    for row in connection.execute(held.where(*frozen)).all():
        if row.reserved:
            _release(connection, Address(row.payer), payee, row.reserved)
            own = (account.c.lane_id == row.lane_id, account.c.generation == row.generation)
            connection.execute(update(account).where(*own).values(reserved=0))
    return len(ids)


def _release(connection: Connection, payer: Address, payee: Address, amount: int) -> None:
    own = (pair.c.payer == payer, pair.c.payee == payee)
    committed = connection.execute(select(pair.c.committed).where(*own).with_for_update()).scalar_one()
    connection.execute(update(pair).where(*own).values(committed=committed - amount))


def load_settled(connection: Connection, key: LaneKey) -> list[SettledClaim]:
    """Every mined claim of a lane, in whatever generation, in the chain's order."""
    return [
        SettledClaim(
            replace(key, generation=event.number("generation")),
            Micros(event.number("seq")),
            Amount(event.number("cumulative")),
            event.number("count"),
            event.bytes32("root"),
        )
        for event in load_history(connection, _subject(key))
        if event.name == "Settled"
    ]


def restore_receipts(connection: Connection, key: LaneKey, found: Sequence[Stored], now: int) -> int:
    """Put back receipts of a closed generation, oldest first, as far as they continue its account; how many."""
    cursor = connection.connection.cursor()
    session = Session(cursor, Words(connection.dialect.name))
    triple = (key.payer, key.payee, key.lane)
    books = load_working_set(session, None, {triple})
    if (key.payer, key.payee) not in books.pairs:
        return 0
    lane_row = books.lanes.get(triple) or _new_lane(session, books, triple)
    if any(generation > key.generation for generation in lane_row.accounts):
        return 0  # the next generation has begun: its base is fixed
    return _Restoring(session, books, lane_row, key).run(found, take_lease(connection, "restored", now, 0))


def _new_lane(session: Session, books: WorkingSet, triple: tuple[Address, Address, Address]) -> LaneRow:
    number = session.rows(session.words.lane, (*triple, session.words.amount(0)))[0][0]
    books.lanes[triple] = LaneRow(triple, number)
    return books.lanes[triple]


class _Restoring:
    """One account that grows by receipts which other books had written."""

    def __init__(self, session: Session, books: WorkingSet, lane_row: LaneRow, key: LaneKey) -> None:
        self._session, self._books, self._lane, self._key = session, books, lane_row, key
        self._pair = books.pairs[key.payer, key.payee]
        self._agreements = Agreements(session, {})
        self._numbers: dict[int, int] = {}
        self._vouchers: list[Row] = []
        self._receipts: list[Row] = []
        self._signatures: list[Row] = []

    def run(self, found: Sequence[Stored], lease: int) -> int:
        """Fold, then write."""
        row = self._account(found)
        ids = load_requests(self._session, self._books, [(self._lane.key, s.admission.request_id) for s in found])
        still_open = load_open(self._session, ids.values())
        for stored in found:
            known = ids.get((self._lane.key, stored.admission.request_id))
            if known in still_open or not self._take(row, stored, known, lease):
                break
        if self._receipts:
            write_totals(self._session, [(self._lane, row)], self._books.pairs)
            self._session.insert(tables.voucher, self._vouchers)
            self._session.insert(tables.receipt, self._receipts)
            self._session.insert(tables.receipt_signature, self._signatures)
        return len(self._receipts)

    def _account(self, found: Sequence[Stored]) -> AccountRow:
        """The generation's account; a new one begins where the first receipt does."""
        known = self._lane.accounts.get(self._key.generation)
        if known is not None:
            return known
        first = found[0].receipt if found else None
        base = Amount(first.cumulative - first.charge if first else 0)
        state = LaneState(self._key, base=base, charged=base, claimed=self._lane.claimed, is_frozen=True)
        return AccountRow(state, is_new=True)

    def _take(self, row: AccountRow, stored: Stored, known: int | None, lease: int) -> bool:
        """One receipt; False where the row of them no longer fits."""
        state, receipt, admission = row.state, stored.receipt, stored.admission
        if receipt is None:
            return False
        if receipt.seq <= state.seq:
            return True  # the backup had it
        best = Amount(max(state.best, admission.voucher.ceiling))
        if receipt.cumulative - receipt.charge != state.charged or receipt.cumulative > best:
            return False
        voucher_id = known
        if voucher_id is None:
            voucher_id = next_number(self._session, self._numbers, lease)
            given = replace(admission, lease=lease)
            self._vouchers.append(voucher_row(self._session, voucher_id, self._lane, given, self._agreements))
        if best > state.best or row.best_voucher_id is None:
            row.best_voucher_id = voucher_id
        row.state = replace(state, charged=receipt.cumulative, best=best, seq=receipt.seq, count=state.count + 1)
        self._commit(max(state.charged, state.claimed), max(row.state.charged, state.claimed))
        self._receipts.append(receipt_row(self._session, voucher_id, self._lane, row, receipt))
        if stored.signature is not None:
            self._signatures.append((voucher_id, stored.signature))
        return True

    def _commit(self, before: int, after: int) -> None:
        pair_state = self._pair.state
        self._pair.state = replace(pair_state, committed=Amount(pair_state.committed + after - before))


def generations_of(connection: Connection, key: LaneKey) -> dict[int, tuple[Micros, int]]:
    """(last seq, count) of every generation in which the books know this lane."""
    joined = account.join(lane, lane.c.id == account.c.lane_id)
    own = (lane.c.payer == key.payer, lane.c.payee == key.payee, lane.c.lane == key.lane)
    wanted = select(account.c.generation, account.c.seq, account.c["count"]).select_from(joined).where(*own)
    return {row[0]: (Micros(row[1]), row[2]) for row in connection.execute(wanted)}


def load_waiting(connection: Connection, payee: Address, generation: int) -> list[tuple[LaneKey, bool]]:
    """Every lane of a payee, and whether it is open in this generation."""
    opened = select(account.c.lane_id).where(account.c.generation == generation)
    ids = set(connection.execute(opened).scalars())
    rows = connection.execute(select(lane).where(lane.c.payee == payee).order_by(lane.c.id))
    return [(LaneKey(Address(row.payer), payee, Address(row.lane), generation), row.id in ids) for row in rows]
