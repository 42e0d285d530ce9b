"""Forecasts, load, learned speed and lengths, and the memory of promises."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.core.routing.forecast import build_forecast, idle_finish_seconds
from node.core.routing.lengths import LengthModel
from node.core.routing.load import Job, has_room, peak_tokens
from node.core.routing.speed import Speed, SpeedLearner
from node.core.routing.trust import (
    LONGEST_BACKOFF_SECONDS,
    NEWCOMER,
    SLACK_SECONDS,
    corrected_finish_seconds,
    next_record_after_answer,
    next_record_after_failure,
    record_with_pending,
)
from tests.unit.routing_makers import SPEED, make_bid, make_forecast, make_load

pytestmark = pytest.mark.unit


def test_forecast__empty_engine__is_the_idle_time():
    forecast = build_forecast(make_load(), SPEED, 100, 200.0)
    assert forecast.finish_seconds(200) == pytest.approx(idle_finish_seconds(SPEED, 100, 200.0), rel=0.01)
    assert forecast.added_seconds == 0.0


def test_forecast__by_hand_with_one_long_neighbour__adds_up():
    speed = Speed(0.01, 0.001, 0.0, 1_000.0)
    forecast = build_forecast(make_load([(1_000.0, 50)]), speed, 100, 10.0)
    assert forecast.start_seconds == pytest.approx(0.1 + 0.012)
    assert forecast.token_seconds == pytest.approx(0.012)
    assert forecast.added_seconds == pytest.approx(10 * 0.001 + 0.1)


def test_forecast__engine_full__waits_for_the_first_end():
    speed = Speed(0.01, 0.0, 0.0, 1e9)
    load = make_load([(40.0, 900), (400.0, 50)], kv_room=1_000)
    forecast = build_forecast(load, speed, 200, 10.0)
    assert forecast.start_seconds == pytest.approx(0.40 + 0.01, rel=0.05)


def test_forecast__queue_larger_than_the_memory__counts_batches():
    busy = make_load([(100.0, 500)], [(400, 100.0)] * 50, kv_room=1_000)
    calm = make_load([(100.0, 500)], [(400, 100.0)], kv_room=1_000)
    assert (
        build_forecast(busy, SPEED, 400, 100.0).start_seconds
        > 5 * build_forecast(calm, SPEED, 400, 100.0).start_seconds
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 2_000), st.integers(1, 500)), max_size=40),
    st.lists(st.tuples(st.integers(1, 500), st.floats(1, 500)), max_size=10),
    st.integers(1, 2_000),
    st.floats(1, 2_000),
)
def test_forecast__one_more_neighbour__is_never_faster(jobs, queue, prompt, tokens):
    before = build_forecast(make_load(jobs, queue), SPEED, prompt, tokens)
    after = build_forecast(make_load([*jobs, (500.0, 300)], queue), SPEED, prompt, tokens)
    assert after.finish_seconds(tokens) >= before.finish_seconds(tokens) - 1e-9
    assert after.added_seconds > before.added_seconds
    assert before.start_seconds > 0


def test_peak__all_end_together__is_everything_grown():
    assert peak_tokens([Job(10.0, 5), Job(10.0, 7)]) == 32


def test_peak__one_ends_early__frees_its_room_before_the_other_grows():
    assert peak_tokens([Job(1.0, 100), Job(50.0, 10)]) == 112


def test_has_room__places_or_memory_used_up__says_no():
    assert has_room(make_load(), 100, 100.0)
    assert not has_room(make_load([(1.0, 1)], max_sequences=1), 1, 1.0)
    assert not has_room(make_load([(900.0, 100)], kv_room=1_000), 100, 900.0)


def test_usage_and_in_flight__count_what_is_there():
    load = make_load([(1.0, 300), (2.0, 200)], [(10, 1.0)], kv_room=1_000)
    assert (load.usage, load.in_flight, load.kv_tokens) == (0.5, 3, 500)


def learned(rows, guess=None):
    learner = SpeedLearner(guess or Speed(0.02, 1e-4, 2e-7, 5_000.0))
    for row in rows:
        learner.observe_steps(*row)
    return learner


def test_speed_learner__varied_steps__finds_the_law():
    dice, truth = Random(1), SPEED
    rows = []
    for _ in range(600):
        batch, held = dice.randint(1, 60), dice.randint(100, 30_000)
        rows.append((truth.step_seconds(batch, held) * dice.gauss(1.0, 0.01), batch, held))
    found = learned(rows).speed()
    for batch, held in ((1, 500), (20, 10_000), (50, 25_000)):
        assert found.step_seconds(batch, held) == pytest.approx(truth.step_seconds(batch, held), rel=0.02)


def test_speed_learner__ten_thousand_steps_of_one_kind__does_not_drift():
    """Recursive least squares blew up here: a direction never excited wound up its variance."""
    rows = [(SPEED.step_seconds(12, 12_000), 12, 12_000)] * 10_000
    found = learned(rows).speed()
    assert found.step_seconds(12, 12_000) == pytest.approx(SPEED.step_seconds(12, 12_000), rel=1e-3)
    assert 0.2 * SPEED.base < found.base < 2 * SPEED.base


def test_speed_learner__nothing_seen__is_the_guess_and_prefill_is_learned():
    learner = learned([])
    assert learner.speed() == Speed(0.02, 1e-4, 2e-7, 5_000.0)
    learner.observe_prefill(1_000, 0.1)
    learner.observe_prefill(1_000, 0.0)
    assert learner.speed().prefill_rate == pytest.approx(5_500.0)


def test_lengths__nothing_seen__guesses_the_prior_and_then_lindy():
    model = LengthModel(prior=256.0)
    assert model.remaining(0, 8_192) == pytest.approx(256.0)
    assert model.remaining(2_000, 8_192) == 2_000
    assert model.remaining(8_000, 8_192) == 192
    assert model.remaining(8_192, 8_192) == 1.0


def test_lengths__many_seen__is_the_conditional_mean():
    model, dice = LengthModel(), Random(3)
    seen = [min(int(dice.lognormvariate(6.0, 0.8)), 4_096) for _ in range(4_000)]
    for tokens in seen:
        model.observe(tokens)
    for generated in (0, 200, 1_000):
        rest = [tokens - generated for tokens in seen if tokens > generated]
        assert model.remaining(generated, 100_000) == pytest.approx(sum(rest) / len(rest), rel=0.12)


@given(st.lists(st.integers(1, 300_000), max_size=60), st.integers(0, 9_000), st.integers(1, 9_000))
def test_lengths__any_history__stays_within_the_cap_and_the_batch_agrees(seen, generated, cap):
    model = LengthModel()
    for tokens in seen:
        model.observe(tokens)
    single = model.remaining(generated, cap)
    assert 1.0 <= single <= max(cap - generated, 1)
    assert model.remaining_of([(generated, cap)]) == [single]


def test_lengths__quantile__is_zero_until_enough_was_seen_and_then_the_edge():
    model = LengthModel()
    assert model.quantile(0.1) == 0.0
    for tokens in range(100, 1_100):
        model.observe(tokens)
    assert model.quantile(0.1) == pytest.approx(200, rel=0.15)
    assert model.quantile(0.9) == pytest.approx(1_000, rel=0.15)
    assert model.quantile(1.0) >= 1_099


def test_trust__promise_kept__changes_nothing_and_modesty_earns_nothing():
    record = NEWCOMER
    for _ in range(30):
        record = next_record_after_answer(record, 2.0, 1.0)
    assert record.correction() == 1.0


def test_trust__five_times_too_slow__is_believed_within_twenty_answers():
    record = NEWCOMER
    for _ in range(20):
        record = next_record_after_answer(record, 2.0, 10.0)
    assert record.correction() > 3.0
    bid = make_bid(forecast=make_forecast(1.0, 0.01))
    slack = SLACK_SECONDS
    assert corrected_finish_seconds(bid, record, 100) == pytest.approx((2.0 + slack) * record.correction() - slack)


def test_trust__one_slow_answer__condemns_nobody():
    assert next_record_after_answer(NEWCOMER, 2.0, 6.0).correction() < 1.3


def test_trust__reformed__is_believed_again():
    record = NEWCOMER
    for _ in range(20):
        record = next_record_after_answer(record, 1.0, 8.0)
    for _ in range(100):
        record = next_record_after_answer(record, 1.0, 1.0)
    assert record.correction() < 1.1


def test_trust__late_answers_under_way__count_before_they_end_and_early_ones_do_not():
    late = record_with_pending(NEWCOMER, [(1.0, 30.0)] * 3)
    early = record_with_pending(NEWCOMER, [(30.0, 1.0)] * 3)
    assert late.correction() > 2.5
    assert early == NEWCOMER


def test_trust__failures_in_a_row__back_off_twice_as_long_up_to_a_limit():
    record, waits = NEWCOMER, []
    for _ in range(9):
        record = next_record_after_failure(record, 100.0)
        waits.append(record.avoid_until - 100.0)
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_BACKOFF_SECONDS
    assert record.is_avoided(101.0)
    assert not record.is_avoided(100.0 + LONGEST_BACKOFF_SECONDS)
    assert next_record_after_answer(record, 1.0, 1.0).failures == 0


def test_peer_that_fails_for_ever__is_avoided_for_ever_and_breaks_nothing() -> None:
    record = NEWCOMER
    for _ in range(2_000):
        record = next_record_after_failure(record, 100.0)
    assert record.avoid_until == 100.0 + LONGEST_BACKOFF_SECONDS
