"""The file beside the key: what it remembers, and that it is never taken for less than it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.adapters.ledger.high_water import WIDTH, HighWater, path_beside, read_mark
from node.core.errors import BadConfig, BooksStale
from node.core.hashing import Domain
from node.core.recovery import INSTRUCTION, Mark
from node.core.types import Address, Micros
from tests.factories import make_receipt


def test_note__after_accept__the_next_process_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    high_water = HighWater(path)
    assert high_water.seen is None
    high_water.accept(Mark(1, 5, Micros(100)))
    high_water.note([make_receipt(seq=Micros(300)), make_receipt(seq=Micros(200))])
    assert path.stat().st_size == WIDTH
    assert HighWater(path).seen == Mark(1, 7, Micros(300))


def test_note__older_receipt_of_an_older_generation__lowers_nothing() -> None:
    high_water = HighWater()
    high_water.accept(Mark(3, 5, Micros(900)))
    high_water.note([replace(make_receipt(seq=Micros(300)), generation=2)])
    assert high_water.seen == Mark(3, 6, Micros(900))


def test_note__before_the_books_were_compared__writes_nothing(tmp_path: Path) -> None:
    high_water = HighWater(tmp_path / "mark")
    high_water.note([make_receipt()])
    assert high_water.seen is None
    assert not (tmp_path / "mark").exists()


def test_check__another_older_database_answers__is_stale_with_the_one_instruction() -> None:
    high_water = HighWater()
    high_water.accept(Mark(1, 5, Micros(900)))
    high_water.check(Mark(0, 5, Micros(900)))
    assert not high_water.is_behind
    with pytest.raises(BooksStale, match=r"recover\.py bump") as refused:
        high_water.check(Mark(0, 4, Micros(900)))
    assert INSTRUCTION in refused.value.message
    assert high_water.is_behind
    high_water.accept(Mark(2, 4, Micros(900)))
    assert not high_water.is_behind


@pytest.mark.parametrize("text", ["", "{}", '{"generation": 1}', "[1]", "\x00" * 20])
def test_read_mark__damaged__is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mark"
    path.write_text(text)
    with pytest.raises(BadConfig, match="high-water"):
        read_mark(path)


def test_write__impossible__is_logged_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    high_water = HighWater(tmp_path / "missing" / "mark")
    high_water.accept(Mark(1, 5, Micros(100)))
    high_water.note([make_receipt(seq=Micros(300))])
    assert "cannot be written" in caplog.text
    assert high_water.seen == Mark(1, 6, Micros(300))


def test_path__other_payee_or_chain__another_file() -> None:
    key, payee = Path("keys/operator.json"), Address(b"\x01" * 20)
    domain = Domain.of(1, Address(b"\x02" * 20))
    paths = {
        path_beside(key, domain, payee),
        path_beside(key, domain, Address(b"\x03" * 20)),
        path_beside(key, Domain.of(2, domain.escrow), payee),
    }
    assert len(paths) == 3
    assert {path.parent for path in paths} == {key.parent}
