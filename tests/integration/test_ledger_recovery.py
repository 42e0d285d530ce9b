"""Books brought up to the world on real databases: receipts put back, open requests void, marks and totals right."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from node.adapters.ledger import Books, migrate
from node.adapters.ledger.chain_tables import payee_state
from node.adapters.ledger.schema import for_writing
from node.adapters.ledger.totals import check_totals
from node.core.errors import LaneFrozen
from node.core.messages import Receipt
from node.core.recovery import Mark
from node.core.types import Amount, Micros, Seconds
from node.ports.ledger import Stored
from tests.factories import PAYEE, PAYER
from tests.ledgers import OWN, SIGNATURE, micros, opened_books, outcome, seed_pair, wish

NEXT = replace(OWN, generation=2)


async def served(books: Books, lease: int, numbers: range) -> list[Stored]:
    """Requests admitted and closed, as a client holds them."""
    found = []
    for number in numbers:
        admission = wish(number, lease)
        assert await books.ledger.admit(admission) is None
        receipt: Receipt = await books.ledger.close(admission, outcome(10 + number), micros(number))
        found.append(Stored(admission, receipt, SIGNATURE))
    return found


async def open_generation(books: Books, generation: int) -> None:
    def write(connection) -> None:  # type: ignore[no-untyped-def]
        values = {"generation": generation, "head_generation": generation}
        connection.execute(update(payee_state).where(payee_state.c.payee == PAYEE).values(**values))

    await books.store.write_with(write)


def differences(books: Books) -> list[str]:
    with for_writing(books.store.engine).begin() as connection:
        return check_totals(connection)


async def lost_history(url: str) -> tuple[list[Stored], list[Stored]]:
    """(what a backup has, what came after it), written by books that are gone."""
    migrate(url)
    seed_pair(url, 1_000_000)
    async with opened_books(url) as books:
        lease = await books.ledger.take_lease(Seconds(60))
        return await served(books, lease, range(3)), await served(books, lease, range(3, 7))


async def test_restore__receipts_after_a_backup__give_the_same_account(ledger_url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    kept, lost = await lost_history(f"sqlite:///{tmp_path / 'gone.db'}")
    migrate(ledger_url)
    seed_pair(ledger_url, 1_000_000)
    async with opened_books(ledger_url) as books:
        lease = await books.ledger.take_lease(Seconds(60))
        await served(books, lease, range(3))
        await books.recovery.freeze_lanes(PAYEE)
        await open_generation(books, 2)
        assert await books.recovery.restore_receipts(OWN, [*kept, *lost], Seconds(1)) == 4
        assert await books.recovery.restore_receipts(OWN, [*kept, *lost], Seconds(1)) == 0
        lane, last = await books.ledger.load_lane(OWN), lost[-1].receipt
        assert lane is not None
        assert last is not None
        assert (lane.charged, lane.seq, lane.count) == (last.cumulative, last.seq, 7)
        page = await books.ledger.load_receipts(OWN, Micros(0), 100)
        assert [one.receipt for one in page] == [one.receipt for one in (*kept, *lost)]
        assert page[-1].signature == SIGNATURE
        assert await books.recovery.load_mark(2) == Mark(2, 7, last.seq)
        opened = await books.recovery.reopen_lane(NEXT, last.cumulative)
        assert opened.base == last.cumulative
        assert differences(books) == []
        assert await books.recovery.load_waiting(PAYEE, 2) == [(NEXT, True)]
        assert await books.recovery.restore_receipts(OWN, [*kept, *lost], Seconds(1)) == 0


async def test_restore__empty_books__begin_where_the_first_receipt_does(ledger_url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    kept, lost = await lost_history(f"sqlite:///{tmp_path / 'gone.db'}")
    migrate(ledger_url)
    seed_pair(ledger_url, 1_000_000)
    async with opened_books(ledger_url) as books:
        assert await books.recovery.restore_receipts(OWN, [*kept, *lost], Seconds(1)) == 7
        assert differences(books) == []
        pair = await books.ledger.load_pair(PAYER, PAYEE)
        assert pair is not None
        assert pair.committed == lost[-1].receipt.cumulative  # type: ignore[union-attr]


async def test_restore__a_gap_in_the_row__stops_before_it(ledger_url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    kept, lost = await lost_history(f"sqlite:///{tmp_path / 'gone.db'}")
    migrate(ledger_url)
    seed_pair(ledger_url, 1_000_000)
    async with opened_books(ledger_url) as books:
        assert await books.recovery.restore_receipts(OWN, [*kept, lost[0], lost[2]], Seconds(1)) == 4
        assert differences(books) == []


async def test_void__requests_that_a_backup_held_open__free_the_lane_without_a_receipt(ledger_url: str) -> None:
    migrate(ledger_url)
    seed_pair(ledger_url, 1_000_000)
    async with opened_books(ledger_url) as books:
        lease = await books.ledger.take_lease(Seconds(60))
        await served(books, lease, range(2))
        await books.ledger.admit(wish(7, lease))
        assert await books.recovery.void_reservations(PAYEE) == 0  # nothing is frozen: they are being served
        await books.recovery.freeze_lanes(PAYEE)
        await open_generation(books, 2)
        with pytest.raises(LaneFrozen):
            await books.recovery.reopen_lane(NEXT, Amount(0))
        assert await books.recovery.void_reservations(PAYEE) == 1
        stored = await books.ledger.load_request(PAYER, PAYER, wish(7, lease).request_id)
        assert stored is not None
        assert stored.receipt is None
        assert (await books.recovery.reopen_lane(NEXT, Amount(0))).base == 21
        assert differences(books) == []


async def test_admit__unknown_lane_in_a_later_generation__must_resync_first(ledger_url: str) -> None:
    migrate(ledger_url)
    seed_pair(ledger_url, 1_000_000)
    async with opened_books(ledger_url) as books:
        lease = await books.ledger.take_lease(Seconds(60))
        await open_generation(books, 2)
        fresh = wish(1, lease, key=NEXT)
        with pytest.raises(LaneFrozen):
            await books.ledger.admit(fresh)
        await books.recovery.reopen_lane(NEXT, Amount(0))
        assert await books.ledger.admit(fresh) is None
