"""core.account: admission and closing, one situation a test. The state machine is in tests/property."""

from dataclasses import replace

import pytest

from node.core.account import Outcome, admit, close
from node.core.errors import Broken, CeilingTooLow, CoverTooLow, LaneAhead, LaneFrozen
from node.core.types import ZERO32, Amount, Micros, Status, TokenCount
from tests.factories import NOW, make_admission, make_lane, make_pair


def outcome(charge: int) -> Outcome:
    return Outcome(Status.COMPLETE, TokenCount(1, 2), Amount(charge), ZERO32, ZERO32)


def test_admit__room_in_ceiling_and_cover__reserves_max_price() -> None:
    lane, pair = admit(make_lane(), make_pair(), make_admission(max_price=100))
    assert (lane.reserved, lane.best, pair.committed) == (100, 1_000, 100)


def test_admit__exactly_the_room_left__is_admitted() -> None:
    lane, pair = admit(make_lane(), make_pair(cover=100), make_admission(ceiling=100, max_price=100))
    assert lane.best - lane.reserved == 0
    assert pair.cover_left == 0


def test_admit__one_above_the_ceiling__says_the_shortfall() -> None:
    with pytest.raises(CeilingTooLow) as refused:
        admit(make_lane(charged=50), make_pair(), make_admission(ceiling=149, max_price=100))
    assert refused.value.facts["shortfall"] == 1


def test_admit__one_above_the_cover__says_the_shortfall() -> None:
    with pytest.raises(CoverTooLow) as refused:
        admit(make_lane(), make_pair(cover=199, committed=100), make_admission(max_price=100))
    assert refused.value.facts["shortfall"] == 1


def test_admit__older_voucher_after_a_better_one__keeps_the_better() -> None:
    lane, _ = admit(make_lane(best=5_000), make_pair(), make_admission(ceiling=10, max_price=100))
    assert lane.best == 5_000


def test_admit__cap_below_the_ceiling__binds() -> None:
    with pytest.raises(CeilingTooLow):
        admit(make_lane(cap=99), make_pair(), make_admission(max_price=100))


def test_admit__frozen_lane__is_refused() -> None:
    with pytest.raises(LaneFrozen):
        admit(make_lane(is_frozen=True), make_pair(), make_admission())


def test_admit__last_receipt_dated_ahead_of_every_clock__is_refused() -> None:
    latest = Micros((NOW + 30) * 1_000_000)
    assert admit(make_lane(seq=latest), make_pair(), make_admission())
    with pytest.raises(LaneAhead):
        admit(make_lane(seq=Micros(latest + 1)), make_pair(), make_admission())


def test_admit__chain_claimed_more_than_we_charged__counts_the_claim_once() -> None:
    lane, pair = admit(make_lane(claimed=300), make_pair(cover=400, committed=300), make_admission(max_price=100))
    assert pair.committed == 400
    assert lane.committed == 400


def test_close__less_than_reserved__releases_the_rest_and_keeps_inv12() -> None:
    admission = make_admission(max_price=100)
    lane, pair = admit(make_lane(), make_pair(), admission)
    lane, pair, receipt = close(lane, pair, admission, outcome(30), Micros(5))
    assert (lane.charged, lane.reserved, pair.committed) == (30, 0, 30)
    assert receipt.cumulative - receipt.charge == 0
    assert receipt.context == admission.voucher.context


def test_close__below_what_the_chain_claimed__does_not_free_cover() -> None:
    admission = make_admission(max_price=100)
    lane, pair = admit(make_lane(claimed=300), make_pair(committed=300), admission)
    _, pair, _ = close(lane, pair, admission, outcome(30), Micros(5))
    assert pair.committed == 300


def test_close__charge_above_reservation__is_broken_and_writes_nothing() -> None:
    admission = make_admission(max_price=100)
    lane, pair = admit(make_lane(), make_pair(), admission)
    with pytest.raises(Broken):
        close(lane, pair, admission, outcome(101), Micros(5))


def test_close__nothing_reserved__is_broken() -> None:
    with pytest.raises(Broken):
        close(make_lane(), make_pair(), make_admission(max_price=100), outcome(1), Micros(5))


def test_close__clock_stepped_back__seq_still_rises() -> None:
    admission = make_admission(max_price=100)
    lane, pair = admit(replace(make_lane(), seq=Micros(1_000)), make_pair(), admission)
    lane, _, receipt = close(lane, pair, admission, outcome(1), Micros(5))
    assert receipt.seq == lane.seq == 1_001
