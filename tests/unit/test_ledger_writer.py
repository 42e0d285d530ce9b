"""The writer's thread: it ends when it is told to, and doubts only what nobody serves."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.adapters.ledger.high_water import HighWater
from node.adapters.ledger.hot import CommitUnknownError
from node.adapters.ledger.operations import Admit, KeepSignature
from node.adapters.ledger.schema import open_engine
from node.adapters.ledger.writer import Writer
from node.core.types import Signature
from tests.factories import make_admission, make_receipt

pytestmark = pytest.mark.unit


def make_writer(folder: Path) -> Writer:
    return Writer(open_engine(f"sqlite:///{folder}/books.db"), asyncio.get_running_loop(), HighWater())


async def test_stop__database_gone_and_a_signature_waits__ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = make_writer(tmp_path)

    def gone() -> None:
        raise OSError("no database")

    monkeypatch.setattr(writer._door, "transaction", gone)
    writer.start()
    writer.submit_later(KeepSignature(make_receipt(), Signature(b"\x01" * 65)))
    await asyncio.wait_for(asyncio.to_thread(writer.stop), 5)


async def test_admit__commit_unknown_then_written_singly__is_served_and_no_longer_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = make_writer(tmp_path)
    outcomes: Iterator[object] = iter(
        [CommitUnknownError(), sqlite3.IntegrityError("a neighbour's row"), [None], [None]]
    )

    def commit(_group: object) -> object:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(writer, "_commit", commit)
    loop = asyncio.get_running_loop()
    admits = [Admit(make_admission(request_id=bytes([n]) * 32), loop.create_future()) for n in (1, 2)]
    writer._write(admits)
    assert await asyncio.gather(*(one.future for one in admits)) == [None, None]
    assert writer.doubtful == []
