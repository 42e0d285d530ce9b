"""A commit of unknown end is looked for until it must have arrived, and no longer."""

from types import SimpleNamespace
from typing import Any

import pytest

from node.adapters.ledger.ledger import DOUBT_SECONDS, SqlLedger
from node.core.account import Admission
from tests.factories import NOW, make_admission

pytestmark = pytest.mark.unit
ARRIVED, LOST = make_admission(request_id=b"\x01" * 32), make_admission(request_id=b"\x02" * 32)


def ledger_at(seconds: int) -> tuple[SqlLedger, Any]:
    async def read_with(_read: object, _now: int, doubtful: tuple[Admission, ...]) -> list[Admission]:
        return [one for one in doubtful if one == ARRIVED]

    store = SimpleNamespace(read_with=read_with, writer=SimpleNamespace(doubtful=[ARRIVED, LOST]))
    return SqlLedger(store, SimpleNamespace(now=lambda: float(NOW + seconds)), "w"), store.writer  # type: ignore[arg-type]


async def test_doubts__long_ago_and_not_in_the_books__are_forgotten() -> None:
    ledger, writer = ledger_at(DOUBT_SECONDS + 1)
    assert await ledger.load_abandoned() == [ARRIVED]
    assert writer.doubtful == [ARRIVED]


async def test_doubts__just_now__are_looked_for_again() -> None:
    ledger, writer = ledger_at(DOUBT_SECONDS)
    assert await ledger.load_abandoned() == [ARRIVED]
    assert writer.doubtful == [ARRIVED, LOST]
