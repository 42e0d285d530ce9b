"""Settings as a provider writes them: parsed, bounded, refused with the name of the wrong one."""

import pytest

from node.core.routing.admission import Enquiry, answer_enquiry
from node.core.routing.config import BadProviderConfig, ProviderConfig, ServeHours, build_config
from node.core.routing.types import Bid, Skip
from node.core.types import Amount
from tests.unit.routing_makers import (
    NOBODY_HOME,
    LoadedDice,
    demand,
    make_address,
    make_case,
    make_forecast,
    make_here,
    make_request,
)

pytestmark = pytest.mark.unit

NOON = 12 * 3600.0


def test_build_config__everything_a_provider_may_write__is_parsed():
    address = "0x" + "11" * 20
    config = build_config(
        {
            "policy": "paper",
            "target_usage": 0.6,
            "models": ["llama"],
            "serve_hours": ["22:00-06:00", "12:30-13:00"],
            "blocklist": [address],
            "minimum_price": 5,
            "draining": True,
        }
    )
    assert (config.policy, config.target_usage, config.minimum_price, config.draining) == ("paper", 0.6, 5, True)
    assert config.models == {"llama"}
    assert config.serve_hours == (ServeHours(22 * 60, 6 * 60), ServeHours(12 * 60 + 30, 13 * 60))
    assert config.blocklist == {bytes.fromhex("11" * 20)}


def test_build_config__over_a_base__keeps_what_is_not_mentioned():
    base = ProviderConfig(candidates=7)
    assert build_config({"draining": True}, base).candidates == 7


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("target_usage", 1.5),
        ("offload_frequency", -0.1),
        ("candidates", 0),
        ("candidates", 1.5),
        ("hop_limit", 9),
        ("ask_above_slowdown", 0.5),
        ("congestion_weight", 11.0),
        ("price_weight", 2.0),
        ("minimum_price", -1),
        ("draining", 1),
        ("max_context", True),
        ("models", "llama"),
        ("serve_hours", ["late"]),
        ("serve_hours", ["25:00-30:00"]),
        ("blocklist", ["0x12"]),
        ("blocklist", ["zz"]),
        ("colour", "green"),
        ("accept_frequency", "often"),
    ],
)
def test_build_config__out_of_range_or_unknown__is_refused(setting, value):
    with pytest.raises(BadProviderConfig):
        build_config({setting: value})


def test_serve_hours__over_midnight__covers_both_ends_of_the_day():
    night = ServeHours(22 * 60, 6 * 60)
    assert [night.covers(hour * 60) for hour in (21, 22, 0, 5, 6)] == [False, True, True, True, False]


def test_serves_peers_at__no_windows__always():
    assert ProviderConfig().serves_peers_at(NOON)
    assert not build_config({"serve_hours": ["00:00-06:00"]}).serves_peers_at(NOON)


def enquiry(case=None, *, price=10, own_queue=0, models=frozenset({"llama"})):
    return Enquiry(case or make_case(), make_address(9), NOON, Amount(price), models, own_queue)


def answer(config=None, asked=None, *throws):
    return answer_enquiry(config or ProviderConfig(), make_address(5), asked or enquiry(), LoadedDice(*throws))


def test_answer_enquiry__nothing_against_it__bids():
    bid = answer()
    assert isinstance(bid, Bid)
    assert (bid.provider, bid.price, bid.has_slot) == (make_address(5), 10, True)


@pytest.mark.parametrize(
    ("config", "asked", "refusal"),
    [
        ({"draining": True}, enquiry(), Skip.REFUSED_DRAINING),
        ({"blocklist": frozenset({make_address(9)})}, enquiry(), Skip.BLOCKLISTED),
        ({"serve_hours": (ServeHours(0, 60),)}, enquiry(), Skip.REFUSED_SCHEDULE),
        ({}, enquiry(models=frozenset({"other"})), Skip.NO_MODEL),
        ({"models": frozenset({"other"})}, enquiry(), Skip.NO_MODEL),
        ({}, enquiry(make_case(NOBODY_HOME)), Skip.NO_MODEL),
        ({"max_context": 1_000}, enquiry(), Skip.REFUSED_CONTEXT),
        ({"minimum_price": Amount(11)}, enquiry(), Skip.REFUSED_PRICE),
        ({}, enquiry(make_case(request=demand(max_price=Amount(9)))), Skip.REFUSED_PRICE),
        ({"max_concurrency": 2}, enquiry(make_case(make_here(in_flight=2))), Skip.REFUSED_BUSY),
        ({}, enquiry(own_queue=1), Skip.REFUSED_BUSY),
        ({"policy": "paper"}, enquiry(make_case(make_here(usage=0.7))), Skip.REFUSED_BUSY),
        ({}, enquiry(make_case(request=make_request(finish_by=1.0))), Skip.REFUSED_DEADLINE),
        ({"accept_frequency": 0.0}, enquiry(), Skip.REFUSED_POLICY),
    ],
)
def test_answer_enquiry__each_rule__refuses_with_its_reason(config, asked, refusal):
    assert answer(ProviderConfig(**config), asked) is refusal


def test_answer_enquiry__own_users_not_first__bids_with_a_queue():
    assert isinstance(answer(ProviderConfig(own_users_first=False), enquiry(own_queue=3)), Bid)


def test_answer_enquiry__late_but_told_to_serve_anyway__bids():
    asked = enquiry(make_case(make_here(make_forecast(token=1.0)), request=make_request(finish_by=1.0)))
    assert isinstance(answer(ProviderConfig(refuse_late=False), asked), Bid)
