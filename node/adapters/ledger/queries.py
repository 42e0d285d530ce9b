"""Read-only questions about the books: balances, exact sums and pages of rows with filters.

Writes nothing, decides nothing. Pages go by key, not by offset: a page costs the same wherever it is, and rows that
arrive in between shift nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from node.adapters.ledger.chain_tables import chain_block, chain_event
from node.adapters.ledger.store import Store
from node.adapters.ledger.tables import account, agreement, claim, lane, receipt, voucher
from node.adapters.ledger.types import exact_sum
from node.adapters.ledger.views import charge, duel
from node.core.types import Address, Amount, Bytes32, Seconds, Status

MICROS = 1_000_000
LONGEST_PAGE = 1_000
Cursor = tuple[int, int]
"""Where a page ended: (seq, voucher id) of charges, (id, 0) of claims, (block, log index) of events and duels."""
START: Cursor = (-1, -1)


@dataclass(frozen=True, slots=True)
class Filters:
    """None = any. `since` <= time < `until`, Unix seconds."""

    payer: Address | None = None
    payee: Address | None = None
    lane: Address | None = None
    generation: int | None = None
    model: Bytes32 | None = None
    status: Status | None = None
    since: Seconds | None = None
    until: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows by column name, and where the next page begins; None at the end."""

    rows: Sequence[Mapping[str, Any]]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Balance:
    """One lane and generation: what it was charged, what of it is claimed on chain, what is in flight."""

    payer: Address
    payee: Address
    lane: Address
    generation: int
    base: Amount
    charged: Amount
    reserved: Amount
    best_ceiling: Amount
    claimed: Amount
    receipts: int


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact totals of receipts."""

    receipts: int
    charge: int
    prompt_tokens: int
    completion_tokens: int


class LedgerQueries:
    """The questions, each on a snapshot of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_balances(self, filters: Filters, limit: int = LONGEST_PAGE) -> Sequence[Balance]:
        """From the cached totals: as fast for a million receipts as for one."""
        return await self._store.read_with(load_balances, filters, limit)

    async def load_sums(self, filters: Filters) -> Sums:
        """From the receipts themselves."""
        return await self._store.read_with(load_sums, filters)

    async def load_charges(self, filters: Filters, after: Cursor = START, limit: int = 100) -> Page:
        """Rows of the view `charge`, oldest first."""
        return await self._store.read_with(load_charges, filters, after, limit)

    async def load_claims(self, filters: Filters, after: Cursor = START, limit: int = 100) -> Page:
        """Signed claims in the order they were signed."""
        return await self._store.read_with(load_claims, filters, after, limit)

    async def load_events(self, filters: Filters, after: Cursor = START, limit: int = 100) -> Page:
        """Chain events in chain order; of the filters, the addresses and the times apply."""
        return await self._store.read_with(load_events, filters, after, limit)


def load_balances(connection: Connection, filters: Filters, limit: int) -> list[Balance]:
    """Largest numbers of receipts first."""
    wanted = select(lane.c.payer, lane.c.payee, lane.c.lane, lane.c.claimed, account).join(
        account, account.c.lane_id == lane.c.id
    )
    ordered = wanted.where(*_of_lane(filters, account.c.generation)).order_by(account.c.count.desc(), lane.c.id)
    return [
        Balance(
            payer=Address(row.payer),
            payee=Address(row.payee),
            lane=Address(row.lane),
            generation=row.generation,
            base=row.base,
            charged=row.charged,
            reserved=row.reserved,
            best_ceiling=row.best,
            claimed=row.claimed,
            receipts=row._mapping["count"],  # noqa: SLF001 -- `count` is a method of every row
        )
        for row in connection.execute(ordered.limit(min(limit, LONGEST_PAGE)))
    ]


def _of_lane(filters: Filters, generation: ColumnElement[int]) -> list[ColumnElement[bool]]:
    pairs = ((lane.c.payer, filters.payer), (lane.c.payee, filters.payee), (lane.c.lane, filters.lane))
    wheres = [column == address for column, address in pairs if address is not None]
    return wheres if filters.generation is None else [*wheres, generation == filters.generation]


def _between(seq: ColumnElement[int], filters: Filters) -> list[ColumnElement[bool]]:
    wheres = [] if filters.since is None else [seq >= filters.since * MICROS]
    return wheres if filters.until is None else [*wheres, seq < filters.until * MICROS]


def load_sums(connection: Connection, filters: Filters) -> Sums:
    """One pass over the receipts that match; by payer it reads that payer's alone."""
    sums = select(
        func.count(),
        exact_sum(receipt.c.charge),
        func.coalesce(func.sum(receipt.c.prompt_tokens), 0),
        func.coalesce(func.sum(receipt.c.completion_tokens), 0),
    ).select_from(receipt.join(lane, lane.c.id == receipt.c.lane_id))
    wheres = [*_of_lane(filters, receipt.c.generation), *_between(receipt.c.seq, filters)]
    if filters.status is not None:
        wheres.append(receipt.c.status == int(filters.status))
    if filters.model is not None:
        sums = sums.join(voucher, voucher.c.id == receipt.c.voucher_id)
        sums = sums.join(agreement, agreement.c.id == voucher.c.agreement_id)
        wheres.append(agreement.c.model == filters.model)
    row = connection.execute(sums.where(*wheres)).one()
    return Sums(row[0], row[1], int(row[2]), int(row[3]))


def load_charges(connection: Connection, filters: Filters, after: Cursor, limit: int) -> Page:
    """One page of the view."""
    names = ("payer", "payee", "lane", "generation", "model", "status")
    wheres = [charge.c[name] == wanted for name in names if (wanted := getattr(filters, name)) is not None]
    wheres += [*_between(charge.c.seq, filters), _beyond(charge.c.seq, charge.c.voucher_id, after)]
    wanted = select(charge).where(*wheres).order_by(charge.c.seq, charge.c.voucher_id)
    return _page(connection, wanted, limit, ("seq", "voucher_id"))


def load_claims(connection: Connection, filters: Filters, after: Cursor, limit: int) -> Page:
    """One page of claims with their lanes."""
    joined = claim.join(lane, lane.c.id == claim.c.lane_id)
    wheres = [*_of_lane(filters, claim.c.generation), *_between(claim.c.seq, filters), claim.c.id > after[0]]
    wanted = select(lane.c.payer, lane.c.payee, lane.c.lane, claim).select_from(joined)
    return _page(connection, wanted.where(*wheres).order_by(claim.c.id), limit, ("id", None))


def load_vouchers(connection: Connection, filters: Filters, after: Cursor, limit: int) -> Page:
    """One page of admitted requests, served or not, by their number: the order of admission within a worker's lease."""
    joined = voucher.join(lane, lane.c.id == voucher.c.lane_id).join(
        agreement, agreement.c.id == voucher.c.agreement_id
    )
    wheres = [*_of_lane(filters, voucher.c.generation), voucher.c.id > after[0]]
    if filters.since is not None:
        wheres.append(voucher.c.received_at >= filters.since)
    if filters.until is not None:
        wheres.append(voucher.c.received_at < filters.until)
    terms = [column for column in agreement.c if column.name != "id"]
    wanted = select(lane.c.payer, lane.c.payee, lane.c.lane, voucher, *terms).select_from(joined)
    return _page(connection, wanted.where(*wheres).order_by(voucher.c.id), limit, ("id", None))


def load_events(connection: Connection, filters: Filters, after: Cursor, limit: int) -> Page:
    """One page of events with their block's time."""
    joined = chain_event.join(chain_block, chain_block.c.hash == chain_event.c.block_hash)
    wheres = [_beyond(chain_event.c.block_number, chain_event.c.log_index, after)]
    asked = (filters.payer, filters.payee, filters.lane)
    wheres += [_holds(address) for address in asked if address is not None]
    if filters.since is not None:
        wheres.append(chain_block.c.timestamp >= filters.since)
    if filters.until is not None:
        wheres.append(chain_block.c.timestamp < filters.until)
    wanted = select(chain_event, chain_block.c.timestamp).select_from(joined).where(*wheres)
    ordered = wanted.order_by(chain_event.c.block_number, chain_event.c.log_index)
    return _page(connection, ordered, limit, ("block_number", "log_index"))


def load_duels(connection: Connection, filters: Filters, after: Cursor, limit: int) -> Page:
    """One page of duels by where they were opened. `payer`: who dispatched it; `payee`: one of the two executors."""
    wheres = [_beyond(duel.c.opened_block, duel.c.log_index, after)]
    if filters.payer is not None:
        wheres.append(duel.c.dispatcher == f"0x{filters.payer.hex()}")
    if filters.payee is not None:
        wheres.append(or_(*(column == f"0x{filters.payee.hex()}" for column in (duel.c.first, duel.c.second))))
    if filters.since is not None:
        wheres.append(duel.c.opened_at >= filters.since)
    if filters.until is not None:
        wheres.append(duel.c.opened_at < filters.until)
    ordered = select(duel).where(*wheres).order_by(duel.c.opened_block, duel.c.log_index)
    return _page(connection, ordered, limit, ("opened_block", "log_index"))


def _holds(address: Address) -> ColumnElement[bool]:
    """A subject is its addresses, one after the other."""
    subject = chain_event.c.subject
    return or_(*(func.substr(subject, start, 20) == address for start in (1, 21, 41)))


def _beyond(first: ColumnElement[int], second: ColumnElement[int], after: Cursor) -> ColumnElement[bool]:
    """Rows after the cursor, written so that both databases use the index of the first column."""
    return and_(first >= after[0], or_(first > after[0], second > after[1]))


def _page(connection: Connection, wanted: Select[Any], limit: int, names: tuple[str, str | None]) -> Page:
    size = max(1, min(limit, LONGEST_PAGE))
    rows = [dict(row._mapping) for row in connection.execute(wanted.limit(size + 1))]  # noqa: SLF001 -- its own API
    if len(rows) <= size:
        return Page(rows, None)
    last = rows[size - 1]
    return Page(rows[:size], (last[names[0]], last[names[1]] if names[1] else 0))
