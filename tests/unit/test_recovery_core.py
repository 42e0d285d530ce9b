"""The mark that tells restored books, and the note that reopens a lane."""

from dataclasses import replace

import pytest

from node.core.recovery import LaneGap, LaneNote, Mark, behind_line
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros

SEEN = Mark(1, 10, Micros(5_000))
NOTE = LaneNote(Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20), 2, Bytes32(b"\x04" * 32))


@pytest.mark.parametrize(
    ("books", "is_behind"),
    [
        (SEEN, False),
        (Mark(1, 11, Micros(6_000)), False),
        (Mark(1, 9, Micros(5_000)), True),
        (Mark(1, 10, Micros(4_999)), True),
        (Mark(2, 9, Micros(9_999)), True),  # a clock that was set back cannot hide a lost receipt
        (Mark(0, 0, Micros(0)), True),
    ],
)
def test_mark__fewer_receipts_or_lower_seq__is_behind(books: Mark, *, is_behind: bool) -> None:
    assert books.is_behind(SEEN) is is_behind


def test_note__any_member_changed__another_hash() -> None:
    changes = [
        {"payer": Address(b"\x09" * 20)},
        {"payee": Address(b"\x09" * 20)},
        {"lane": Address(b"\x09" * 20)},
        {"generation": 3},
        {"last_receipt": ZERO32},
    ]
    hashes = {NOTE.struct_hash(), *(replace(NOTE, **change).struct_hash() for change in changes)}
    assert len(hashes) == 6
    assert NOTE.key == LaneKey(NOTE.payer, NOTE.payee, NOTE.lane, 2)


def test_lines__for_the_operator__name_both_numbers() -> None:
    assert "4 receipts" in behind_line(Mark(1, 4, Micros(7)), SEEN)
    gap = LaneGap(NOTE.key, Amount(5), Amount(9), "the escrow")
    assert gap.line() == f"the escrow knows 9 of lane 0x{NOTE.lane.hex()}, the books only 5"
