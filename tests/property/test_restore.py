"""Any backup that has lost a receipt is noticed, whatever the lanes, the order and the clock (threat P8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.adapters.ledger.high_water import HighWater
from node.core.account import LaneState, next_seq
from node.core.errors import BooksStale
from node.core.recovery import Mark
from node.core.types import Address, LaneKey, Micros
from tests.factories import PAYEE, PAYER, make_receipt

STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 100)), min_size=1, max_size=30)
"""(lane, how far the clock has moved since the last receipt): it may be set back."""


@given(STEPS, st.integers(0, 30))
def test_restore__of_any_earlier_moment__is_noticed_and_the_present_is_not(
    steps: list[tuple[int, int]], age: int
) -> None:
    high_water = HighWater()
    high_water.accept(Mark(1))
    moments, seqs, now = [Mark(1)], [Micros(0)] * 4, 1_000
    for lane, moved in steps:
        now = max(1, now + moved)
        state = LaneState(LaneKey(PAYER, PAYEE, Address(bytes([lane]) * 20), 1), seq=seqs[lane])
        seqs[lane] = next_seq(state, Micros(now))
        high_water.note([make_receipt(generation=1, seq=seqs[lane])])
        moments.append(Mark(1, moments[-1].count + 1, Micros(max(seqs))))
    high_water.check(moments[-1])
    restored = moments[max(0, len(moments) - 1 - age)]
    if restored == moments[-1]:
        high_water.check(restored)
        return
    with pytest.raises(BooksStale):
        high_water.check(restored)
