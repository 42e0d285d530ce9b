"""Each policy's decision in each of its branches."""

from dataclasses import replace

import pytest

from node.core.routing.adaptive import Adaptive
from node.core.routing.baselines import PowerOfTwo, RandomNode, Single
from node.core.routing.config import PAPER, BadProviderConfig, ProviderConfig
from node.core.routing.paper import Paper
from node.core.routing.policy import POLICIES, build_policy
from node.core.routing.types import Ask, Offload, Preference, Reason, Refuse, ServeHere, Wait
from tests.unit.routing_makers import (
    NOBODY_HOME,
    LoadedDice,
    demand,
    make_address,
    make_bid,
    make_case,
    make_forecast,
    make_here,
    make_request,
)

pytestmark = pytest.mark.unit

OURS = Adaptive(ProviderConfig())
SLOW = make_forecast(token=0.05)
FAST = make_forecast(token=0.01)


@pytest.mark.parametrize("name", POLICIES)
def test_build_policy__known_name__builds_it(name):
    assert type(build_policy(ProviderConfig(policy=name))) is POLICIES[name]


def test_build_policy__unknown_name__says_what_exists():
    with pytest.raises(BadProviderConfig, match="adaptive"):
        build_policy(ProviderConfig(policy="psychic"))


def test_single__anything__serves_here():
    assert isinstance(Single(ProviderConfig()).decide(make_case(), LoadedDice()), ServeHere)


def test_random__own_share_of_the_dice__serves_here_else_asks_one():
    policy = RandomNode(ProviderConfig())
    assert isinstance(policy.decide(make_case(peers=3), LoadedDice(0.2)), ServeHere)
    assert policy.decide(make_case(peers=3), LoadedDice(0.3)) == Ask(1, Reason.DICE)


def test_random__a_bid__is_taken_and_none_means_here():
    policy = RandomNode(ProviderConfig())
    assert isinstance(policy.decide(make_case(bids=(make_bid(),)), LoadedDice()), Offload)
    assert isinstance(policy.decide(make_case(bids=()), LoadedDice()), ServeHere)


def test_power_of_two__own_drawn__compares_with_one_other():
    policy = PowerOfTwo(ProviderConfig())
    assert policy.decide(make_case(peers=3), LoadedDice(0.4)) == Ask(1, Reason.DICE)
    assert policy.decide(make_case(peers=3), LoadedDice(0.6)) == Ask(2, Reason.DICE)
    busy = make_here(in_flight=5)
    assert isinstance(policy.decide(make_case(busy, (make_bid(in_flight=4),)), LoadedDice()), Offload)
    assert isinstance(policy.decide(make_case(busy, (make_bid(in_flight=5),)), LoadedDice()), ServeHere)


def test_power_of_two__two_bids__takes_the_shorter_queue():
    bids = (make_bid(1, in_flight=4), make_bid(2, in_flight=2))
    decision = PowerOfTwo(ProviderConfig()).decide(make_case(bids=bids), LoadedDice())
    assert isinstance(decision, Offload)
    assert decision.bid.provider == make_address(2)


def test_power_of_two__alone_or_all_refuse__serves_here():
    policy = PowerOfTwo(ProviderConfig())
    assert isinstance(policy.decide(make_case(peers=0), LoadedDice(0.9)), ServeHere)
    assert isinstance(policy.decide(make_case(bids=()), LoadedDice()), ServeHere)


@pytest.mark.parametrize(
    ("usage", "throws", "expected"),
    [
        (0.69, (), ServeHere(Reason.BELOW_TARGET)),
        (0.70, (0.79,), Ask(3, Reason.DICE)),
        (0.70, (0.80, 0.19), ServeHere(Reason.DICE)),
        (0.70, (0.80, 0.20), Wait(Reason.NO_SLOT)),
    ],
)
def test_paper__before_asking__follows_its_four_rules(usage, throws, expected):
    assert Paper(PAPER).decide(make_case(make_here(usage=usage)), LoadedDice(*throws)) == expected


def test_paper__bids__takes_the_first_acceptor_and_not_the_best():
    slow_first = (make_bid(1, forecast=SLOW), make_bid(2, forecast=FAST))
    decision = Paper(PAPER).decide(make_case(make_here(usage=0.9), slow_first), LoadedDice())
    assert isinstance(decision, Offload)
    assert decision.bid.provider == make_address(1)


def test_paper__all_refuse__queues_or_looks_again():
    case = make_case(make_here(usage=0.9), ())
    assert Paper(PAPER).decide(case, LoadedDice(0.1)) == ServeHere(Reason.DICE)
    assert Paper(PAPER).decide(case, LoadedDice(0.3)) == Wait(Reason.NO_SLOT)


def test_paper__client_forbids_offload__never_asks():
    case = make_case(make_here(usage=0.9), request=demand(no_offload=True))
    assert not isinstance(Paper(PAPER).decide(case, LoadedDice(0.0)), Ask)


def test_adaptive__engine_as_good_as_idle__serves_here_without_a_message():
    case = make_case(make_here(make_forecast(0.1, 0.019), idle=2.0))
    assert OURS.decide(case, LoadedDice()) == ServeHere(Reason.OWN_ENGINE_FREE)


def test_adaptive__busy_engine__asks():
    assert OURS.decide(make_case(make_here(SLOW)), LoadedDice()) == Ask(3, Reason.LOOK_FOR_BETTER)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (make_case(make_here(SLOW), request=demand(no_offload=True)), Reason.OFFLOAD_FORBIDDEN),
        (make_case(make_here(SLOW), peers=0), Reason.NOBODY_ELSE),
        (make_case(make_here(SLOW), request=make_request(path=(make_address(8), make_address(9)))), Reason.HOP_LIMIT),
    ],
)
def test_adaptive__may_not_or_cannot_offload__stays(case, reason):
    assert OURS.decide(case, LoadedDice()) == ServeHere(reason)


def test_adaptive__offload_frequency_below_one__sometimes_stays():
    policy = Adaptive(ProviderConfig(offload_frequency=0.5))
    assert policy.decide(make_case(make_here(SLOW)), LoadedDice(0.6)) == ServeHere(Reason.DICE)
    assert isinstance(policy.decide(make_case(make_here(SLOW)), LoadedDice(0.4)), Ask)


def test_adaptive__better_bid__offloads_to_the_best():
    bids = (make_bid(1, forecast=SLOW), make_bid(2, forecast=FAST))
    decision = OURS.decide(make_case(make_here(SLOW), bids), LoadedDice())
    assert isinstance(decision, Offload)
    assert decision.bid.provider == make_address(2)


def test_adaptive__bid_no_better_than_a_hop_costs__stays():
    close = make_forecast(0.1, 0.0498)
    assert OURS.decide(make_case(make_here(SLOW), (make_bid(forecast=close),)), LoadedDice()) == ServeHere(
        Reason.OWN_ENGINE_BEST
    )


def test_adaptive__congestion__counts_what_others_would_lose():
    crowded = make_bid(1, forecast=make_forecast(token=0.010, added=5.0))
    calm = make_bid(2, forecast=make_forecast(token=0.012, added=0.0))
    chosen = OURS.decide(make_case(make_here(SLOW), (crowded, calm)), LoadedDice())
    selfish = Adaptive(ProviderConfig(congestion_weight=0.0))
    other = selfish.decide(make_case(make_here(SLOW), (crowded, calm)), LoadedDice())
    assert isinstance(chosen, Offload)
    assert isinstance(other, Offload)
    assert (chosen.bid.provider, other.bid.provider) == (make_address(2), make_address(1))


def test_adaptive__no_slot_anywhere__waits_at_home():
    full = make_here(SLOW, has_slot=False)
    assert OURS.decide(make_case(full, (make_bid(forecast=FAST, has_slot=False),)), LoadedDice()) == Wait(
        Reason.NO_SLOT
    )
    assert OURS.decide(make_case(full, ()), LoadedDice()) == Wait(Reason.NO_SLOT)


def test_adaptive__no_engine_of_its_own__queues_at_the_bidder_or_refuses():
    queued = make_bid(forecast=FAST, has_slot=False)
    assert isinstance(OURS.decide(make_case(NOBODY_HOME, (queued,)), LoadedDice()), Offload)
    refusal = OURS.decide(make_case(NOBODY_HOME, ()), LoadedDice())
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.MODEL_NOT_HERE


@pytest.mark.parametrize("bids", [(), (make_bid(forecast=SLOW),)])
def test_adaptive__deadline_out_of_reach__refuses_early_and_says_when(bids):
    case = make_case(make_here(SLOW), bids, request=make_request(finish_by=2.0))
    refusal = OURS.decide(case, LoadedDice())
    assert isinstance(refusal, Refuse)
    assert refusal.reason is Reason.DEADLINE_OUT_OF_REACH
    assert refusal.retry_after_seconds == pytest.approx(5.1 - 2.0)


def test_adaptive__short_answers_would_make_it__does_not_refuse():
    case = replace(make_case(make_here(SLOW), (), request=make_request(finish_by=2.0)), short_tokens=30.0)
    assert isinstance(OURS.decide(case, LoadedDice()), ServeHere)


def test_adaptive__refusing_late_switched_off__serves_anyway():
    policy = Adaptive(ProviderConfig(refuse_late=False))
    case = make_case(make_here(SLOW), (), request=make_request(finish_by=2.0))
    assert isinstance(policy.decide(case, LoadedDice()), ServeHere)


def test_adaptive__bid_late_but_home_in_time__stays_home():
    home = make_here(make_forecast(0.1, 0.01))
    late = make_bid(forecast=make_forecast(0.1, 0.05))
    case = make_case(home, (late,), request=make_request(finish_by=2.0))
    assert isinstance(OURS.decide(case, LoadedDice()), ServeHere)


@pytest.mark.parametrize(
    ("preference", "winner"), [(Preference.LATENCY, 1), (Preference.PRICE, 2), (Preference.BOTH, 2)]
)
def test_adaptive__client_preference__ranks_bids_by_it(preference, winner):
    fast = make_bid(1, price=100, forecast=make_forecast(token=0.018))
    cheap = make_bid(2, price=10, forecast=make_forecast(token=0.020))
    case = make_case(make_here(make_forecast(token=0.2)), (fast, cheap), request=demand(preference=preference))
    decision = OURS.decide(case, LoadedDice())
    assert isinstance(decision, Offload)
    assert decision.bid.provider == make_address(winner)
