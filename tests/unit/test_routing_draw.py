"""The draw: re-checkable, linear in stake, complete, fast enough to be no reason for shortcuts."""

from collections import Counter
from itertools import islice
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.core.hashing import keccak, word
from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import Seats, StakeTable, draw_seed
from node.core.routing.types import Skip
from node.core.types import Amount
from tests.net.sybil import measure
from tests.unit.routing_makers import demand, make_address, make_request

pytestmark = pytest.mark.unit


def make_table(*stakes):
    return StakeTable((make_address(number), Amount(stake)) for number, stake in enumerate(stakes, start=1))


def seed_of(number):
    return keccak(b"seed" + word(number))


def order_by_definition(stakes, seed):
    """Successive sampling, written naively: recompute everything for each draw."""
    left, order = sorted(stakes), []
    for number in range(len(left)):
        point = int.from_bytes(keccak(seed + word(number)), "big") % sum(stake for _, stake in left)
        for place, (address, stake) in enumerate(left):
            if point < stake:
                order.append(address)
                del left[place]
                break
            point -= stake
    return order


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 10**24), min_size=1, max_size=150), st.integers(0, 2**32))
def test_order__any_stakes__is_successive_sampling_by_its_definition(stakes, number):
    rows = [(make_address(index), Amount(stake)) for index, stake in enumerate(stakes, start=1)]
    seed = seed_of(number)
    assert list(StakeTable(reversed(rows)).order(seed)) == order_by_definition(rows, seed)


def test_order__no_stake__is_never_drawn():
    table = make_table(0, 5, 0)
    assert list(table.order(seed_of(1))) == [make_address(2)]
    assert list(make_table().order(seed_of(1))) == []
    assert make_table().total == 0


def test_order__first_place__is_linear_in_stake():
    table, draws = make_table(1, 2, 7), 6_000
    firsts = Counter(next(table.order(seed_of(number))) for number in range(draws))
    for number, share in ((1, 0.1), (2, 0.2), (3, 0.7)):
        assert firsts[make_address(number)] / draws == pytest.approx(share, abs=0.025)


def test_order__stake_split_over_twenty__gains_no_first_places():
    draws, mine = 6_000, {make_address(100 + index) for index in range(20)}
    others = [(make_address(number), Amount(1_000)) for number in range(1, 10)]
    whole = StakeTable([*others, (make_address(100), Amount(1_000))])
    split = StakeTable([*others, *((address, Amount(50)) for address in mine)])
    alone = sum(next(whole.order(seed_of(number))) in mine for number in range(draws)) / draws
    sybil = sum(next(split.order(seed_of(number))) in mine for number in range(draws)) / draws
    assert alone == pytest.approx(0.1, abs=0.02)
    assert sybil == pytest.approx(0.1, abs=0.02)


def test_draw_seed__each_ingredient__changes_it():
    base = (keccak(b"id"), keccak(b"block"), make_address(1))
    other = (keccak(b"id2"), keccak(b"block2"), make_address(2))
    seeds = {draw_seed(*base)} | {draw_seed(*base[:i], other[i], *base[i + 1 :]) for i in range(3)}
    assert len(seeds) == 4


def test_judges__drawn_with_replacement__splitting_gains_no_seats():
    draws, mine = 3_000, {make_address(100 + index) for index in range(20)}
    rest = [(make_address(number), Amount(1_000)) for number in range(1, 10)]
    split = StakeTable([*rest, *((address, Amount(50)) for address in mine)])
    seats = sum(split.owner_of(seed_of(number), seat) in mine for number in range(draws) for seat in range(5))
    assert seats / (5 * draws) == pytest.approx(0.1, abs=0.015)


def test_without__excluded__are_gone_and_others_keep_their_stake():
    table = make_table(3, 4, 5).without({make_address(2)})
    assert (len(table), table.total) == (2, 8)


@pytest.mark.parametrize(("size", "limit"), [(10_000, 0.001), (100_000, 0.010)])
def test_order__first_ten_of_many__within_the_budget(size, limit):
    table = StakeTable((make_address(number), Amount(1 + number % 97)) for number in range(1, size + 1))
    times = []
    for number in range(30):
        start = perf_counter()
        drawn = list(islice(table.order(seed_of(number)), 10))
        times.append(perf_counter() - start)
        assert len(set(drawn)) == 10
    assert min(times) < limit


def walk(config=None, request=None, known=None):
    known = known or {}
    return Walk(make_address(1), request or make_request(), config or ProviderConfig(), known.get)


def test_choose_candidates__everybody_fine__takes_the_first_in_order_but_itself():
    order = [make_address(number) for number in (1, 2, 3, 4)]
    found = choose_candidates(order, walk(), 2)
    assert found.chosen == (make_address(2), make_address(3))
    assert [(skip.provider, skip.reason) for skip in found.skipped] == [(make_address(1), Skip.SELF)]


def test_choose_candidates__each_obstacle__is_recorded_with_its_reason():
    config = ProviderConfig(blocklist=frozenset({make_address(3)}))
    request = make_request(path=(make_address(2),))
    known = {make_address(4): Skip.DEAD, make_address(5): Skip.NO_MODEL}
    order = [make_address(number) for number in (2, 3, 4, 5, 6)]
    found = choose_candidates(order, walk(config, request, known), 3)
    assert found.chosen == (make_address(6),)
    assert [skip.reason for skip in found.skipped] == [Skip.ON_PATH, Skip.BLOCKLISTED, Skip.DEAD, Skip.NO_MODEL]


def test_choose_candidates__named_providers_only__skips_all_others():
    request = demand(named=frozenset({make_address(3)}))
    found = choose_candidates([make_address(2), make_address(3)], walk(request=request), 3)
    assert found.chosen == (make_address(3),)
    assert found.skipped[0].reason is Skip.NOT_NAMED


# ---- seats: drawing with replacement along the order ----


def asked(table, seed, count, known=None):
    walked = walk(known=known)
    return choose_candidates(table.order(seed), walked, count, Seats(table, seed)).chosen


def seats_by_definition(rows, seed, count, passed):
    """Owners of draws with replacement among those that nothing speaks against, once each."""
    open_rows = [(address, stake) for address, stake in rows if address not in passed]
    table = StakeTable(open_rows)
    return frozenset(table.owner_of(seed, number) for number in range(count))


def test_seats__three_draws__ask_whom_draws_with_replacement_would_ask():
    rows = [(make_address(2), Amount(5)), (make_address(3), Amount(3)), (make_address(4), Amount(2))]
    rows.append((make_address(5), Amount(6)))
    table, draws, dead = StakeTable(rows), 6_000, {make_address(5): Skip.DEAD}
    along = Counter(frozenset(asked(table, seed_of(number), 3, dead)) for number in range(draws))
    plain = Counter(seats_by_definition(rows, seed_of(draws + number), 3, set(dead)) for number in range(draws))
    assert along.keys() == plain.keys()
    for group, times in plain.items():
        assert along[group] == pytest.approx(times, abs=4.5 * (2 * draws * 0.25) ** 0.5)


def test_seats__one_provider_alone__has_them_all_and_the_walk_ends():
    table = make_table(0, 7)
    assert asked(table, seed_of(1), 3) == (make_address(2),)


def test_seats__all_holders_said_no__the_next_are_drawn_among_the_others():
    table, both, draws = make_table(0, 10_000, 1, 1), 0, 400
    for number in range(draws):
        order, seats = table.order(seed_of(number)), Seats(table, seed_of(number))
        (first,) = choose_candidates(order, walk(), 1, seats).chosen
        seats.rise()
        second = choose_candidates(order, walk(), 2, seats).chosen
        both += first == make_address(2) and len(second) == 2
        assert second
    assert both / draws == pytest.approx(0.5, abs=0.12), "two equal ones, two seats"


def test_seats__everybody_passed_over__asks_nobody():
    dead = {make_address(number): Skip.DEAD for number in (2, 3)}
    assert asked(make_table(0, 7, 8), seed_of(1), 3, dead) == ()


def test_sybil__quarter_of_all_stake_in_twenty_names__wins_the_same_share_of_work():
    one, many = measure(20_000)
    assert abs(one.share - many.share) < one.noise + many.noise
    distinct_one, distinct_many = measure(20_000, with_seats=False)
    gain, noise = distinct_many.share - distinct_one.share, distinct_one.noise + distinct_many.noise
    assert gain > noise, "the harness must see what splitting gains where every candidate is another one"
