"""Several processes on one database: the same lanes, one truth; who dies takes nobody along."""

import asyncio
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from node.adapters.ledger import migrate
from node.core.errors import CoverTooLow
from node.core.types import Seconds
from tests.fakes.postgres import fresh_database
from tests.faults import ledger_victim
from tests.integration.test_ledger_kill import Toll, check, drain
from tests.ledgers import OWN, opened_books, outcome, seed_pair, wish

STEPS = 40
"""Lines that each process must have said: a third of them are closed requests."""
LIMIT_SECONDS = 200.0
LEASE_SECONDS = 10**6
"""A busy machine must not let the leases expire: who dies here is killed."""


class Worker:
    """One process in the same lane as the others, and what it has said so far."""

    def __init__(self, url: str, number: int) -> None:
        self.reading, writing = os.pipe()
        arguments = (url, number * 10**6, writing, LEASE_SECONDS)
        self.process = multiprocessing.get_context("fork").Process(target=ledger_victim.main, args=arguments)
        self.process.start()
        os.close(writing)
        self.heard = b""
        os.set_blocking(self.reading, False)

    def await_lines(self, count: int) -> None:
        ends = time.monotonic() + LIMIT_SECONDS
        while self.heard.count(b"\n") < count:
            assert time.monotonic() < ends, f"only {len(self.heard)} bytes were said"
            self.heard += drain(self.reading)
            time.sleep(0.01)

    def kill(self) -> list[bytes]:
        self.process.kill()
        self.process.join()
        os.set_blocking(self.reading, True)
        while more := os.read(self.reading, 65536):
            self.heard += more
        os.close(self.reading)
        return self.heard.split(b"\n")[:-1]


def run_together(url: str) -> None:
    """Three processes sell in one lane; one is killed on the way, one comes later."""
    migrate(url)
    seed_pair(url, 10**15)
    toll, said = Toll(), list[bytes]()
    workers = [Worker(url, number) for number in (1, 2)]
    try:
        for worker in workers:
            worker.await_lines(STEPS)
        said += workers.pop(0).kill()
        workers.append(Worker(url, 3))
        workers[0].await_lines(workers[0].heard.count(b"\n") + STEPS)
        workers[1].await_lines(STEPS)
    finally:
        said += [line for worker in workers for line in worker.kill()]
    for line in said:
        toll.hear(line)
    check(url, toll)
    assert len(toll.charged) > STEPS // 2


@pytest.mark.timeout(600)
def test_postgresql__three_processes_in_one_lane_one_killed__one_whole_set_of_books(postgres: str) -> None:
    with fresh_database(postgres) as url:
        run_together(url)


@pytest.mark.timeout(600)
def test_sqlite__three_processes_in_one_lane_one_killed__one_whole_set_of_books(tmp_path: Path) -> None:
    run_together(f"sqlite:///{tmp_path}/ledger.db")


async def test_admit__two_workers_race_for_the_last_cover__never_one_more(ledger_url: str) -> None:
    migrate(ledger_url)
    seed_pair(ledger_url, 10 * 50)
    async with opened_books(ledger_url) as one, opened_books(ledger_url) as other:
        leases = [await books.ledger.take_lease(Seconds(60)) for books in (one, other)]

        async def admit(number: int) -> bool:
            books, lease = ((one, leases[0]), (other, leases[1]))[number % 2]
            try:
                await books.ledger.admit(wish(number, lease, ceiling=10**6, price=50))
            except CoverTooLow:
                return False
            return True

        admitted = [number for number, is_in in enumerate(await asyncio.gather(*map(admit, range(40)))) if is_in]
        assert len(admitted) == 10
        pair = await one.ledger.load_pair(OWN.payer, OWN.payee)
        assert pair is not None
        assert (pair.committed, pair.cover_left) == (500, 0)


async def test_close__each_worker_closes_the_others_requests__seq_and_totals_are_one_line(ledger_url: str) -> None:
    migrate(ledger_url)
    seed_pair(ledger_url, 10**6)
    async with opened_books(ledger_url) as one, opened_books(ledger_url) as other:
        lease = await one.ledger.take_lease(Seconds(60))
        requests = [wish(number, lease, ceiling=10**6, price=50) for number in range(20)]
        await asyncio.gather(*(one.ledger.admit(request) for request in requests))
        closing = [((one, other)[number % 2], request) for number, request in enumerate(requests)]
        receipts = await asyncio.gather(
            *(books.ledger.close(request, outcome(3), request.terms.start_by * 1_000_000) for books, request in closing)  # type: ignore[arg-type]
        )
        ordered = sorted(receipts, key=lambda receipt: receipt.seq)
        assert [receipt.cumulative for receipt in ordered] == [3 * count for count in range(1, 21)]
        assert len({receipt.seq for receipt in receipts}) == 20
