"""SIGKILL in the middle of group commits: whatever was acknowledged is in the books, and the sums are whole."""

import asyncio
import multiprocessing
import os
import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select

from node.adapters.ledger import migrate
from node.adapters.ledger.reads import load_abandoned
from node.adapters.ledger.schema import open_engine
from node.adapters.ledger.totals import check_totals
from node.adapters.ledger.views import charge
from node.core.types import Seconds
from tests.fakes.postgres import fresh_database
from tests.faults import ledger_victim
from tests.ledgers import seed_pair


class Toll:
    """What victims said before they died."""

    def __init__(self) -> None:
        self.admitted: set[bytes] = set()
        self.charged: dict[bytes, int] = {}

    def hear(self, line: bytes) -> None:
        word, *rest = line.split()
        if word == b"A":
            self.admitted.add(bytes.fromhex(rest[0].decode()))
        elif word in (b"C", b"F"):
            self.charged[bytes.fromhex(rest[0].decode())] = int(rest[1])


def start(url: str, first: int) -> tuple[BaseProcess, int]:
    reading, writing = os.pipe()
    victim = multiprocessing.get_context("fork").Process(target=ledger_victim.main, args=(url, first, writing))
    victim.start()
    os.close(writing)
    return victim, reading


def kill_once(url: str, first: int, dice: random.Random, toll: Toll) -> int:
    """Run a victim for a moment, kill it, and note every whole line it had written."""
    victim, reading = start(url, first)
    heard = b""
    try:
        while b"ready\n" not in heard:
            heard += os.read(reading, 65536)
        ends = time.monotonic() + dice.uniform(0.02, 0.4)
        os.set_blocking(reading, False)
        while time.monotonic() < ends:
            heard += drain(reading)
            time.sleep(0.005)
    finally:
        victim.kill()
        victim.join()
    os.set_blocking(reading, True)
    while more := os.read(reading, 65536):
        heard += more
    os.close(reading)
    lines = heard.split(b"\n")[:-1]
    for line in lines:
        toll.hear(line)
    return len(lines)


def drain(reading: int) -> bytes:
    try:
        return os.read(reading, 1 << 20)
    except BlockingIOError:
        return b""


def check(url: str, toll: Toll) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        rows = {bytes(row.request_id): row for row in connection.execute(select(charge))}
        still_open = load_abandoned(connection, Seconds(2**40), ())
        findings = check_totals(connection)
    engine.dispose()
    in_flight = {bytes(admission.request_id) for admission in still_open}
    assert findings == []
    assert toll.admitted <= set(rows) | in_flight
    for request_id, amount in toll.charged.items():
        assert rows[request_id].charge == amount


def run(url: str, kills: int) -> None:
    migrate(url)
    seed_pair(url, 10**15)
    toll, dice, steps = Toll(), random.Random(7), 0
    for number in range(kills):
        steps += kill_once(url, (number + 1) * 10**6, dice, toll)
        check(url, toll)
    assert steps > 20 * kills
    assert len(toll.charged) > 5 * kills


@pytest.mark.timeout(300)
def test_sqlite__killed_20_times__every_acknowledged_request_is_there(tmp_path: Path) -> None:
    run(f"sqlite:///{tmp_path}/ledger.db", 20)


@pytest.mark.timeout(300)
def test_postgresql__worker_killed_5_times__every_acknowledged_request_is_there(postgres: str) -> None:
    with fresh_database(postgres) as url:
        run(url, 5)


async def test_victim_lines__are_whole() -> None:
    toll = Toll()
    toll.hear(b"C 0a 7 9")
    toll.hear(b"A 0b 1")
    toll.hear(b"ready")
    assert (toll.charged, toll.admitted) == ({b"\x0a": 7}, {b"\x0b"})
    await asyncio.sleep(0)
