"""Draws and commitments of duels. That they are the contract's own shows tests/differential/test_duels_model.py."""

from collections import Counter
from dataclasses import replace

import pytest

from node.core.duel_chain import (
    Ballot,
    Court,
    Weighed,
    draw_opponent,
    draw_seats,
    drawn,
    duel_id,
    seat_seed,
    seed_commitment,
    vote_commitment,
)
from node.core.duels import Vote
from node.core.hashing import keccak, word
from tests.unit.routing_makers import make_address

pytestmark = pytest.mark.unit

COURT = Court(31337, make_address(99))
DUEL = keccak(b"duel")
SEED = keccak(b"seed")
BALLOT = Ballot(make_address(1), Vote.FIRST, keccak(b"salt"), keccak(b"why"))
MEMBERS = [Weighed(make_address(n), make_address(n), 10 * n) for n in range(1, 6)]


def test_draw_seats__excluded__never_sit_and_the_others_by_weight():
    excluded = {make_address(4), make_address(5)}
    seats = Counter(
        seat.weight for n in range(2000) for seat in draw_seats(MEMBERS, seat_seed(keccak(word(n)), DUEL), excluded, 5)
    )
    assert set(seats) == {10, 20, 30}
    for weight, count in seats.items():
        assert abs(count / 10_000 - weight / 60) < 0.02


def test_draw_seats__controller_excluded__excludes_all_its_members():
    ours = [replace(member, controller=make_address(7)) for member in MEMBERS[1:]]
    assert {seat.weight for seat in draw_seats([MEMBERS[0], *ours], SEED, {make_address(7)}, 1)} <= {10}


def test_draw_seats__nobody_left_or_no_weight__gives_no_jury():
    assert draw_seats(MEMBERS, SEED, {make_address(n) for n in range(1, 6)}, 5) == ()
    assert draw_seats([replace(MEMBERS[0], weight=0)], SEED, set(), 5) == ()
    assert draw_seats([], SEED, set(), 5) == ()


def test_draw_seats__same_member__may_hold_several_seats():
    assert len(draw_seats([MEMBERS[0]], SEED, set(), 15)) == 15


def test_drawn__weightless_member__is_never_drawn():
    rows = [replace(MEMBERS[0], weight=0), MEMBERS[1], replace(MEMBERS[2], weight=0)]
    assert {drawn(rows, SEED, number).weight for number in range(200)} == {20}


def test_draw_opponent__another_seed_request_nonce_or_attempt__is_another_draw():
    rows = [Weighed(make_address(n), make_address(n), 1) for n in range(1, 1000)]
    request = (keccak(b"id"), keccak(b"nonce"))
    base = draw_opponent(rows, SEED, request, 0)
    assert draw_opponent(rows, SEED, request, 0) == base
    others = [
        draw_opponent(rows, keccak(b"other"), request, 0),
        draw_opponent(rows, SEED, (keccak(b"other"), request[1]), 0),
        draw_opponent(rows, SEED, (request[0], keccak(b"other")), 0),
        draw_opponent(rows, SEED, request, 1),
    ]
    assert base not in others


@pytest.mark.parametrize(
    "change",
    [
        {"judge": make_address(2)},
        {"vote": Vote.SECOND},
        {"salt": keccak(b"other")},
        {"rationale_hash": keccak(b"other")},
    ],
)
def test_vote_commitment__any_field_changed__differs(change):
    assert vote_commitment(COURT, DUEL, replace(BALLOT, **change)) != vote_commitment(COURT, DUEL, BALLOT)


def test_commitments__another_court_chain_duel_or_epoch__differ():
    courts = [COURT, Court(1, COURT.address), Court(31337, make_address(98))]
    assert len({vote_commitment(court, DUEL, BALLOT) for court in courts}) == 3
    assert vote_commitment(COURT, keccak(b"other"), BALLOT) != vote_commitment(COURT, DUEL, BALLOT)
    seeds = {seed_commitment(court, make_address(1), epoch, SEED) for court in courts for epoch in (1, 2)}
    assert len(seeds | {seed_commitment(COURT, make_address(2), 1, SEED)}) == 7


def test_duel_id__payer_and_request__make_it():
    ids = {duel_id(make_address(payer), keccak(word(request))) for payer in (1, 2) for request in (1, 2)}
    assert len(ids) == 4
