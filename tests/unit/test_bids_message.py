"""The signed bid: JSON both ways, its hash over every field, and its reading as routing's bid."""

from dataclasses import fields, replace

import pytest

from node.core.bids import MAX_MODELS, U32_MAX, bid_from_json, bid_to_json, micros_of, millis_of, routing_bid
from node.core.errors import BadVoucher
from node.core.types import TokenCount
from tests.unit.membership_makers import make_bid, make_row, payee


def test_bid__to_json_and_back__is_the_same() -> None:
    bid = make_bid(2, 7, rows=3)
    assert bid_from_json(bid_to_json(bid)) == bid
    assert bid.bid.is_standing


@pytest.mark.parametrize("name", [one.name for one in fields(make_row())])
def test_bid__every_field_of_a_row__is_signed(name: str) -> None:
    bid = make_bid(2).bid
    changed = b"\x78" * 32 if name == "model" else getattr(bid.models[0], name) + 1
    other = replace(bid, models=(replace(bid.models[0], **{name: changed}),))
    assert other.struct_hash() != bid.struct_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"models": [{}] * (MAX_MODELS + 1)},
        {"models": [{}]},
        {"models": "x"},
        {"payee": "0x12"},
        {"number": -1},
        {"issuedAt": 2**64},
        {"requestId": None},
        {"signature": "0x"},
    ],
)
def test_bid__malformed__is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadVoucher):
        bid_from_json(bid_to_json(make_bid(2)) | change)


def test_bid__no_object__is_refused() -> None:
    with pytest.raises(BadVoucher):
        bid_from_json([])


def test_row__as_routing_sees_it__has_the_price_of_the_size_and_seconds() -> None:
    row = make_row(price_prompt=1_000_000, price_completion=2_000_000, start_millis=1_500, token_micros=20_000)
    bid = routing_bid(payee(2), row, TokenCount(10, 5))
    assert (bid.provider, bid.price, bid.has_slot) == (payee(2), 20, True)
    assert bid.forecast.finish_seconds(100) == pytest.approx(3.5)
    assert not routing_bid(payee(2), make_row(free_slots=0), TokenCount(1, 1)).has_slot
    assert make_bid(2).bid.row_of(row.model) == make_row()
    assert make_bid(2).bid.row_of(b"\x01" * 32) is None


def test_seconds__that_do_not_fit__are_said_as_the_longest_or_none() -> None:
    assert (millis_of(1.5), micros_of(0.25)) == (1_500, 250_000)
    assert (millis_of(1e9), micros_of(1e9), millis_of(-1.0)) == (U32_MAX, U32_MAX, 0)
