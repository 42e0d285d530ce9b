"""The arithmetic inside experiments: fitted strengths, what counts as ignored, Sybil seats, steps, judges."""

from random import Random

import pytest

from node.sim.experiments.engine_check import simulated_step_ms
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


def test_sybil__one_or_twenty_identities__first_place_is_the_same():
    whole, split = _sybil(4_000, 1)[0], _sybil(4_000, 20)[0]
    assert whole.mean == pytest.approx(0.1, abs=0.02)
    assert split.mean == pytest.approx(0.1, abs=0.02)


def test_simulated_step__warm_batch__is_the_published_fit():
    assert simulated_step_ms(build_profile("RTX 4090", "Llama-3.1-8B"), 32, 16_000) == pytest.approx(20.92, rel=0.01)


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
