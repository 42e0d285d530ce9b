"""Duels, ratings and the paper's stake rule: who pays what, who is convicted, and that nothing is made of nothing."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.duels import (
    BURN,
    DuelTerms,
    Outcome,
    Parties,
    Vote,
    agrees_with_others,
    is_duel,
    payouts,
    terms_for,
    verdict,
)
from node.core.hashing import keccak, word
from node.core.ratings import Finding, Rating, Sprt, SprtRule, next_rating, next_sprt, win_probability
from node.core.stake import next_paper_stake, paper_stake_target
from node.core.types import Amount
from node.sim.experiments.coalitions import SHARES, SHIPPED, attack, break_even, control_chance
from tests.unit.routing_makers import make_address

pytestmark = pytest.mark.unit

TERMS = DuelTerms()
PARTIES = Parties(make_address(1), make_address(2), make_address(3), Amount(10))
SEATS = [make_address(10 + seat) for seat in range(5)]
A, B, TIE, NOTHING = Vote.FIRST, Vote.SECOND, Vote.TIE, Vote.NO_EVIDENCE


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ([A] * 5, Outcome.FIRST_WON),
        ([A, A, A, A, B], Outcome.FIRST_WON),
        ([B, B, B, B], Outcome.SECOND_WON),
        ([A, A, A, B, B], Outcome.TIE),
        ([A, A, A, TIE, TIE], Outcome.TIE),
        ([NOTHING] * 3 + [A, A], Outcome.VOID),
        ([], Outcome.TIE),
    ],
)
def test_verdict__votes__needs_four_of_five(votes, outcome):
    assert verdict(votes, TERMS) is outcome


def test_payouts__unanimous__loser_pays_winner_judges_and_the_burn():
    moved = payouts(PARTIES, SEATS, dict.fromkeys(range(5), A), TERMS)
    assert moved[PARTIES.second] == -20
    assert moved[PARTIES.first] == 8
    assert moved[PARTIES.dispatcher] == -5
    assert all(moved[judge] == 1 + 1 for judge in SEATS)
    assert moved[BURN] == 20 - 8 - 5


def test_payouts__winner__never_gets_more_than_the_request_cost():
    cheap = Parties(PARTIES.dispatcher, PARTIES.first, PARTIES.second, Amount(3))
    assert payouts(cheap, SEATS, dict.fromkeys(range(5), B), TERMS)[PARTIES.second] == 3


def test_payouts__minority_and_silence__cost_at_least_the_same():
    votes = {0: B, 1: A, 2: A, 3: A, 4: A}
    moved = payouts(PARTIES, SEATS, votes, TERMS)
    assert moved[SEATS[0]] == TERMS.judge_fee - TERMS.minority_slash
    silent = payouts(PARTIES, SEATS, dict.fromkeys(range(1, 5), A), TERMS)
    assert silent[SEATS[0]] == -TERMS.silent_slash <= -TERMS.minority_slash


def test_payouts__tie__pays_judges_and_leaves_executors_alone():
    moved = payouts(PARTIES, SEATS, {0: A, 1: A, 2: B, 3: B, 4: TIE}, TERMS)
    assert PARTIES.first not in moved
    assert PARTIES.second not in moved
    assert all(moved[judge] == 1 for judge in SEATS)


def test_payouts__no_evidence__takes_the_whole_bond():
    moved = payouts(PARTIES, SEATS, dict.fromkeys(range(4), NOTHING), TERMS)
    assert moved[PARTIES.dispatcher] == -TERMS.bond
    assert PARTIES.first not in moved


@given(
    st.dictionaries(st.integers(0, 4), st.sampled_from(list(Vote))),
    st.lists(st.integers(1, 14), min_size=5, max_size=5),
    st.integers(0, 50),
)
def test_payouts__any_votes_and_shared_seats__sum_to_zero_and_burn_is_never_negative(votes, owners, fee):
    parties = Parties(PARTIES.dispatcher, PARTIES.first, PARTIES.second, Amount(fee))
    moved = payouts(parties, [make_address(owner) for owner in owners], votes, TERMS)
    assert sum(moved.values()) == 0
    assert moved.get(BURN, 0) >= 0


def test_is_duel__rate__is_met_and_each_ingredient_matters():
    seed, commit = keccak(b"epoch"), keccak(b"nonce")
    hits = sum(is_duel(seed, keccak(word(number)), commit, 100) for number in range(5_000)) / 5_000
    assert hits == pytest.approx(0.10, abs=0.015)
    assert not any(is_duel(seed, keccak(word(number)), commit, 0) for number in range(100))
    differs = [
        is_duel(seed, keccak(word(n)), commit, 500) != is_duel(keccak(b"other"), keccak(word(n)), commit, 500)
        for n in range(100)
    ]
    assert 20 < sum(differs) < 80


def test_terms_for__least_stake__scale_the_amounts_and_outlast_twenty_losses():
    terms = terms_for(Amount(100_000_000))
    assert (terms.loser_slash, terms.judge_fee, terms.bond) == (5_000_000, 250_000, 1_250_000)
    assert terms.loser_slash * 20 == 100_000_000
    assert terms_for(Amount(400)) == DuelTerms()
    assert (terms.judges, terms.winner_per_mille) == (TERMS.judges, TERMS.winner_per_mille)


@pytest.mark.parametrize(
    ("first", "nothing", "outcome"),
    [(10, 0, Outcome.FIRST_WON), (9, 0, Outcome.TIE), (6, 9, Outcome.VOID), (7, 8, Outcome.TIE)],
)
def test_verdict__jury__needs_two_thirds(first, nothing, outcome):
    assert verdict([A] * first + [NOTHING] * nothing, TERMS.for_jury()) is outcome


def test_agrees_with_others__own_vote__is_left_out():
    assert agrees_with_others({0: B, 1: A, 2: A, 3: A, 4: B}, 0) is False
    assert agrees_with_others({0: A, 1: A, 2: A, 3: A, 4: B}, 0) is True
    assert agrees_with_others({0: A, 1: A, 2: A, 3: B, 4: B}, 0) is None
    assert agrees_with_others({1: A}, 0) is None


def test_rating__stronger_wins_more__rises_and_grows_certain():
    dice, strong, weak = Random(1), Rating(), Rating()
    for _ in range(300):
        won = float(dice.random() < 0.75)
        strong, weak = next_rating(strong, weak, won), next_rating(weak, strong, 1.0 - won)
    assert strong.strength - weak.strength == pytest.approx(1.1, abs=0.45)
    assert strong.sigma < 0.35
    assert win_probability(strong, weak) == pytest.approx(0.75, abs=0.08)
    assert strong.likely_at_least() > weak.explored_as()


def test_rating__newcomer__is_explored_above_a_known_average():
    known = Rating(0.0, 0.2, 100)
    assert Rating().explored_as() > known.explored_as()
    assert Rating().likely_at_least() < known.likely_at_least()


def sprt_end(rate, dice):
    test = Sprt()
    while test.finding is Finding.OPEN:
        test = next_sprt(test, SprtRule(), won=dice.random() < rate)
    return test


@pytest.mark.parametrize(("rate", "low", "high"), [(0.5, 0.0, 0.02), (0.4, 0.92, 1.0), (0.3, 0.99, 1.0)])
def test_sprt__win_rate__is_convicted_with_the_stated_errors(rate, low, high):
    dice = Random(7)
    convicted = sum(sprt_end(rate, dice).finding is Finding.CONVICTED for _ in range(600)) / 600
    assert low <= convicted <= high


def test_sprt__conviction__is_final_and_a_cleared_test_starts_anew():
    convicted = Sprt(9.0, 5, Finding.CONVICTED)
    assert next_sprt(convicted, SprtRule(), won=True) is convicted
    cleared = Sprt(-5.0, 50, Finding.HONEST)
    assert next_sprt(cleared, SprtRule(), won=False).ratio == pytest.approx(SprtRule().weight(won=False))


@pytest.mark.parametrize(
    ("usage", "waiting", "queued", "wanted"),
    [(0.0, 0, 0, 4), (0.3, 0, 0, 3), (0.5, 0, 0, 2), (0.7, 0, 0, 1), (0.8, 0, 0, 0), (0.0, 1, 0, 0), (0.0, 0, 1, 2)],
)
def test_paper_stake_target__table__as_published(usage, waiting, queued, wanted):
    assert paper_stake_target(usage, 0.7, waiting, queued) == wanted


def test_next_paper_stake__moves__two_credits_a_second_and_within_means():
    assert next_paper_stake(0, 4, 100) == 2
    assert next_paper_stake(4, 0, 100) == 2
    assert next_paper_stake(0, 4, 1) == 1


@pytest.mark.parametrize("setting", SHIPPED)
@pytest.mark.parametrize("share", SHARES)
def test_coalition__any_shipped_setting__loses(setting, share):
    earned = attack(SHIPPED[setting], share)
    assert max(earned.executor, earned.self_dealing, earned.grinding, earned.shield) < 0


@pytest.mark.parametrize(
    ("judges", "agreement", "share", "chance"),
    [
        (3, 2, 0.1, 0.028),
        (3, 2, 0.2, 0.104),
        (3, 2, 0.3, 0.216),
        (5, 4, 0.2, 0.0067),
        (5, 4, 0.3, 0.031),
        (15, 10, 0.2, 0.0001),
    ],
)
def test_control_chance__design_table__matches(judges, agreement, share, chance):
    assert control_chance(judges, agreement, share) == pytest.approx(chance, rel=0.15)


def test_coalition__without_appeals__would_pay_so_the_bound_says_how_many_are_needed():
    assert 0.1 < break_even(DuelTerms(), 0.3) < 0.5
