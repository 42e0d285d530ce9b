"""The arithmetic inside experiments: fitted strengths, what counts as ignored, Sybil seats, steps, judges."""

from random import Random

import pytest

from node.sim.experiments.engine_check import simulated_step_ms
from node.sim.experiments.engine_points import TOLD, Told, closed_loop
from node.sim.experiments.liars import NODES, _until_ignored
from node.sim.experiments.quality import LAZY_LIMIT, MODELS, QUANTISATIONS, _judge_life, fit_field
from node.sim.experiments.stakes import _sybil
from node.sim.profiles import build_profile

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("published", [MODELS, QUANTISATIONS])
def test_fit_field__published_win_rates__come_out(published):
    field = fit_field(published)
    for kind, rate in published.items():
        others = [field.chance(kind, other) for other in published if other != kind]
        assert sum(others) / len(others) == pytest.approx(rate, abs=0.015)


def test_until_ignored__liar_taken_at_first_then_left_alone__counts_what_it_got():
    assert _until_ignored([1.0] * 5 + [0.0] * 40) == 3
    assert _until_ignored([0.0] * 30) == 0
    assert _until_ignored([1.0] * 25) == 25
    assert NODES == 6


def test_sybil__one_or_twenty_identities__asked_as_often_and_work_nearly_the_same():
    whole, split = _sybil(20_000, 1), _sybil(20_000, 20)
    for first, asked, _, work in (whole, split):
        assert first.mean == pytest.approx(0.1, abs=0.015)
        assert asked.mean == pytest.approx(1 - 0.9**3, abs=0.0065)
        assert work.mean == pytest.approx(0.1, abs=0.01)


def test_simulated_step__warm_batch__is_the_published_fit():
    assert simulated_step_ms(build_profile("RTX 4090", "Llama-3.1-8B"), 32, 16_000) == pytest.approx(20.92, rel=0.01)


def test_closed_loop__published_points__are_met_as_well_as_the_report_says():
    for told in TOLD:
        found = closed_loop(told)
        if told.per_second is not None:
            assert found.per_second == pytest.approx(told.per_second, rel=0.35)
        if told.step_ms is not None:
            assert found.step_ms == pytest.approx(told.step_ms, rel=0.2)


def test_closed_loop__one_stream__is_the_law_by_hand():
    speed = build_profile("RTX 4090", "Llama-3.1-8B").speed
    found = closed_loop(Told("RTX 4090", "Llama-3.1-8B", 1, 100, 51))
    step = speed.base + speed.per_sequence + speed.per_kv_token * (101 + 49 / 2)
    assert found.step_ms == pytest.approx(step * 1e3, rel=1e-6)
    assert found.per_second == pytest.approx(51 / (found.first_ms / 1e3 + 50 * step), rel=1e-6)


def test_judge_life__lazy__loses_and_is_out_in_time():
    dice = Random(1)
    lives = [_judge_life(0.5, dice) for _ in range(60)]
    assert sum(profit for profit, _, _ in lives) < 0
    assert sum(out for _, _, out in lives) / 60 > 0.85
    assert all(judged <= LAZY_LIMIT for _, judged, _ in lives)


def test_judge_life__able__earns_and_stays():
    dice = Random(2)
    lives = [_judge_life(0.95, dice) for _ in range(60)]
    assert sum(profit for profit, _, _ in lives) > 0
    assert not any(out for _, _, out in lives)
