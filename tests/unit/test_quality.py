"""Ratings per model and size: what a duel moves, what it leaves alone, and that a size borrows from its model."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.duel_facts import DuelFacts, DuelState
from node.core.quality import NEWCOMER, NO_OFFSET, SIZE_SIGMA, SIZES, Quality, Topic, next_quality, size_class
from node.core.ratings import Finding, Rating, SprtRule, next_pooled, next_rating, pooled
from node.core.types import Bytes32
from tests.unit.routing_makers import make_address

pytestmark = pytest.mark.unit

ONE, OTHER = make_address(1), make_address(2)
MODEL, SECOND_MODEL = Bytes32(b"\x05" * 32), Bytes32(b"\x06" * 32)
SHORT, LONG = 0, 2
RULE = SprtRule()
WON, LOST, TIED, VOIDED = DuelState.FIRST_WON, DuelState.SECOND_WON, DuelState.TIED, DuelState.VOIDED

ratings = st.builds(Rating, st.floats(-4.0, 4.0), st.floats(0.1, 1.0))
offsets = st.builds(Rating, st.floats(-2.0, 2.0), st.floats(0.05, SIZE_SIGMA))
scores = st.sampled_from([0.0, 0.5, 1.0])


def duel(state: DuelState, model: Bytes32 = MODEL, size: int = SHORT) -> DuelFacts:
    return DuelFacts(state=state, first=ONE, second=OTHER, model=model, size=size)


def after(*duels: DuelFacts) -> Quality:
    quality = Quality()
    for one in duels:
        quality = next_quality(quality, one, RULE)
    return quality


@pytest.mark.parametrize(("length", "size"), [(0, 0), (2_048, 0), (2_049, 1), (16_384, 1), (16_385, 2)])
def test_size_class__bytes__by_the_bounds(length: int, size: int) -> None:
    assert size_class(b" " * length) == size


def test_next_quality__a_model__leaves_what_is_known_of_others_alone() -> None:
    quality = after(*[duel(LOST)] * 80)
    assert quality.record(ONE, MODEL).test.finding is Finding.CONVICTED
    assert quality.record(ONE, SECOND_MODEL).test.finding is Finding.OPEN
    assert quality.rating(ONE, Topic(SECOND_MODEL, SHORT)) == NEWCOMER
    assert quality.factor(ONE, Topic(SECOND_MODEL, SHORT), 1.0) == 1.0
    assert next_quality(quality, duel(WON, SECOND_MODEL), RULE).record(ONE, MODEL) == quality.record(ONE, MODEL)


def test_next_quality__a_size__moves_the_others_with_the_model_but_less() -> None:
    quality = after(*[duel(WON, size=LONG)] * 10)
    seen, unseen = (quality.rating(ONE, Topic(MODEL, size)) for size in (LONG, SHORT))
    assert seen.strength > unseen.strength > 0.0
    assert unseen.sigma > seen.sigma
    assert (seen.duels, unseen.duels, quality.record(ONE, MODEL).rating.duels) == (10, 0, 10)


def test_next_quality__good_at_short_and_bad_at_long__the_sizes_part() -> None:
    """The better of two at short requests, the worse of them at long ones: one number could not say so."""
    dice, duels = Random(3), []
    for _ in range(300):
        duels.append(duel(WON if dice.random() < 0.75 else LOST, size=SHORT))
        duels.append(duel(WON if dice.random() < 0.25 else LOST, size=LONG))
    quality = after(*duels)
    short, long = (quality.rating(ONE, Topic(MODEL, size)) for size in (SHORT, LONG))
    assert short.strength > 0.0 > long.strength
    assert short.strength - long.strength == pytest.approx(1.1, abs=0.4), "half the log-odds of 3:1, both ways"
    assert abs(quality.record(ONE, MODEL).rating.strength) < 0.5
    weighed = [quality.factor(ONE, Topic(MODEL, size), 0.5) for size in (SHORT, LONG)]
    assert weighed[0] < 0.8 * weighed[1]


def test_next_quality__a_size_that_no_judge_accepts__is_the_last_class() -> None:
    assert set(after(duel(WON, size=200)).record(ONE, MODEL).offsets) == {len(SIZES)}


def test_next_quality__void__says_nothing_and_a_tie_convicts_nobody() -> None:
    assert after(duel(VOIDED)) == Quality()
    tied = after(duel(TIED)).record(ONE, MODEL)
    assert (tied.test.duels, tied.rating.duels, tied.rating.strength) == (0, 1, 0.0)


@given(ratings, offsets, ratings, scores)
def test_next_pooled__any_parts__move_one_way_and_share_the_whole_step(
    base: Rating, offset: Rating, theirs: Rating, score: float
) -> None:
    moved = next_pooled((base, offset), theirs, score)
    whole = next_rating(pooled(base, offset), theirs, score)
    assert pooled(*moved).strength == pytest.approx(whole.strength)
    steps = [new.strength - old.strength for new, old in zip(moved, (base, offset), strict=True)]
    assert steps[0] * steps[1] >= 0.0
    assert (steps[0] + steps[1]) * (score - 0.5) >= 0.0 or score == 0.5
    assert pooled(*moved).sigma >= whole.sigma - 1e-9, "never more certain than one number would be"


@given(ratings, ratings, scores)
def test_next_pooled__an_offset_that_cannot_differ__is_the_plain_rating(
    base: Rating, theirs: Rating, score: float
) -> None:
    moved, still = next_pooled((base, Rating(0.0, 1e-9)), theirs, score)
    plain = next_rating(base, theirs, score)
    assert (moved.strength, moved.sigma) == (pytest.approx(plain.strength), pytest.approx(plain.sigma))
    assert still.strength == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from([WON, LOST, TIED, VOIDED]), st.integers(0, 2), st.booleans()), max_size=40))
def test_next_quality__any_duels__other_pairs_do_not_matter_and_both_sides_mirror(
    course: list[tuple[DuelState, int, bool]],
) -> None:
    """Folding one model's duels alone gives its records; whoever is named first is no better for it."""
    duels = [duel(state, MODEL if mine else SECOND_MODEL, size) for state, size, mine in course]
    alone = after(*[one for one in duels if one.model == MODEL])
    both = after(*duels)
    assert all(both.record(who, MODEL) == alone.record(who, MODEL) for who in (ONE, OTHER))
    swaps = {WON: LOST, LOST: WON, TIED: TIED, VOIDED: VOIDED}
    turned = after(*[replace(one, first=OTHER, second=ONE, state=swaps[one.state]) for one in duels])
    for size in range(3):
        topic = Topic(MODEL, size)
        assert turned.rating(ONE, topic).strength == pytest.approx(both.rating(ONE, topic).strength)
        assert both.rating(ONE, topic).strength == pytest.approx(-both.rating(OTHER, topic).strength)
    counted = sum(one.model == MODEL and one.state is not VOIDED for one in duels)
    assert both.record(ONE, MODEL).rating.duels == counted
    assert NO_OFFSET.duels == 0
