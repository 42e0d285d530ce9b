"""A database that takes no writes: LedgerUnavailable before anything is served, no half row, and it heals alone.

`make disk-faults` runs every fault at every statement; here is one kind of each database and the real thing: a lock
that stays, a disk that is full, a file that is read-only.
"""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import event

from node.adapters.ledger import SqlLedger, migrate, open_ledger
from node.adapters.ledger.schema import for_writing, open_engine
from node.adapters.ledger.totals import check_totals
from node.core.errors import LedgerUnavailable
from node.core.types import Seconds
from tests.faults.disk_faults import run
from tests.ledgers import FakeClock, dump, fresh_ledger, micros, opened_books, outcome, seed_pair, wish


@pytest.mark.timeout(400)
@pytest.mark.slow
async def test_every_statement__failing_in_turn__leaves_no_half_row(ledger_url: str) -> None:
    rig = await run(ledger_url, ["full", "io"], [])
    assert rig.cases > 200
    assert rig.violations == []


async def test_sqlite__locked_by_another_process__waits_bounded_then_refuses_and_recovers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with fresh_ledger(url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        other = open_engine(url)
        with for_writing(other).connect() as lock:
            lock.exec_driver_sql("SELECT 1")
            begun = time.monotonic()
            results = await asyncio.gather(
                *(ledger.admit(wish(n, lease)) for n in range(2, 30)), return_exceptions=True
            )
            assert all(isinstance(result, LedgerUnavailable) for result in results)
            assert 1.5 < time.monotonic() - begun < 10
            assert await ledger.load_lane(wish(1, lease).key) is not None
        other.dispose()
        assert await ledger.admit(wish(2, lease)) is None


async def _fill(ledger: SqlLedger, lease: int) -> int:
    """Admit until the disk is full; how many fitted."""
    for number in range(1, 2000):
        try:
            await ledger.admit(wish(number, lease, price=1, ceiling=10**9))
        except LedgerUnavailable:
            return number - 1
    pytest.fail("the disk never got full")


async def test_sqlite__disk_really_full__refuses_then_recovers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    migrate(url)
    seed_pair(url, 10**9)
    async with opened_books(url) as books:
        lease = await books.ledger.take_lease(Seconds(60))
        limit = {"pages": 0}

        @event.listens_for(books.store.engine, "connect")
        def bound(connection: object, _record: object) -> None:
            if limit["pages"]:
                connection.execute(f"PRAGMA max_page_count = {limit['pages']}")

        limit["pages"] = 1  # SQLite takes the present size for less than that
        books.store.engine.dispose()
        books.store.writer._door.shut()
        admitted = await _fill(books.ledger, lease)
        before = dump(books.store.engine)
        with pytest.raises(LedgerUnavailable):
            await books.ledger.admit(wish(admitted + 1, lease, price=1, ceiling=10**9))
        assert dump(books.store.engine) == before
        assert await books.store.read_with(check_totals) == []
        limit["pages"] = 10**6
        books.store.engine.dispose()
        books.store.writer._door.shut()
        assert await books.ledger.admit(wish(admitted + 1, lease, price=1, ceiling=10**9)) is None


async def test_sqlite__read_only_file__refuses_every_write_and_still_reads(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with fresh_ledger(url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
    books = open_ledger(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true", FakeClock(), "reader")
    books.start()
    books.ledger._lease_ends[lease] = 10**12
    for write in (
        books.ledger.admit(wish(2, lease)),
        books.ledger.close(wish(1, lease), outcome(1), micros()),
        books.ledger.take_lease(Seconds(60)),
    ):
        with pytest.raises(LedgerUnavailable):
            await write
    lane = await books.ledger.load_lane(wish(1, lease).key)
    assert lane is not None
    assert lane.reserved == 100
    await books.stop()


async def test_closed_ledger__every_call__is_unavailable(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        pass
    for write in (ledger.admit(wish(2, lease)), ledger.take_lease(Seconds(60))):
        with pytest.raises(LedgerUnavailable):
            await write
    unstarted = open_ledger(ledger_url, FakeClock())
    with pytest.raises(LedgerUnavailable):
        await unstarted.ledger.take_lease(Seconds(60))


async def test_tampered_rows__totals__name_each_difference(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        for number in range(3):
            await ledger.admit(wish(number, lease))
        await ledger.close(wish(1, lease), outcome(9), micros())
    engine = open_engine(ledger_url)
    amount = f"'{'0' * 37}13'"
    for change, finding in (
        (f"UPDATE account SET charged = {amount}", "account (1, 1): cached"),
        (f"UPDATE pair SET committed = {amount}", "committed 13"),
        ("DELETE FROM reservation WHERE voucher_id = (SELECT max(voucher_id) FROM reservation)", "neither reserved"),
    ):
        with for_writing(engine).connect() as connection:
            assert check_totals(connection) == []
            connection.exec_driver_sql(change)
            assert any(finding in line for line in check_totals(connection))
            connection.rollback()
    engine.dispose()
