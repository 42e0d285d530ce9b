"""Rule 5, one lie a test."""

from dataclasses import replace

import pytest

from node.client.verify import (
    NOTHING,
    TOKENS_UNDERWAY,
    Delivered,
    Problem,
    check_delivery,
    check_neighbours,
    check_receipt,
    proven_tokens,
)
from node.core.types import Amount, Bytes32, Micros, Status, TokenCount
from tests.unit.test_client_wallet import KEY, make_purchase, make_receipt

OPERATOR = b"\x09" * 20
PURCHASE = make_purchase(40)
GOOD = replace(make_receipt(30, 130), context=PURCHASE.terms.struct_hash())


def test_check_receipt__all_as_agreed__passes():
    check_receipt(GOOD, OPERATOR, OPERATOR, PURCHASE)


LIES = {
    "wrong_request": {"request_id": Bytes32(b"\x08" * 32)},
    "wrong_terms": {"context": Bytes32(b"\x08" * 32)},
    "wrong_request_hash": {"request_hash": Bytes32(b"\x08" * 32)},
    "wrong_status": {"status": 0},
    "wrong_seq": {"seq": Micros(1 << 63)},
    "overcharge": {"charge": Amount(41), "completion_tokens": 100},
    "wrong_price": {"charge": Amount(31)},
    "charged_failure": {"status": int(Status.FAILED)},
    "wrong_arithmetic": {"cumulative": Amount(29)},
}


@pytest.mark.parametrize(("code", "lie"), LIES.items())
def test_check_receipt__one_false_member__is_named(code, lie):
    with pytest.raises(Problem) as caught:
        check_receipt(replace(GOOD, **lie), OPERATOR, OPERATOR, PURCHASE)
    assert caught.value.code == code


@pytest.mark.parametrize("member", ["payer", "payee", "lane"])
def test_check_receipt__another_lane__is_refused(member):
    with pytest.raises(Problem, match="wrong_request"):
        check_receipt(replace(GOOD, **{member: b"\x0f" * 20}), OPERATOR, OPERATOR, PURCHASE)


def test_check_receipt__signed_by_another_key__is_refused():
    with pytest.raises(Problem, match="wrong_signer"):
        check_receipt(GOOD, b"\x0a" * 20, OPERATOR, PURCHASE)


def test_check_receipt__cheaper_than_priced__is_welcome():
    check_receipt(replace(GOOD, charge=Amount(1)), OPERATOR, OPERATOR, PURCHASE)


def whole(tokens=27, response_hash=GOOD.response_hash) -> Delivered:
    return Delivered(tokens, response_hash, is_whole=True)


def test_check_delivery__whole_and_equal__confirms_everything():
    assert check_delivery(GOOD, PURCHASE, whole()) == 30


@pytest.mark.parametrize(
    ("delivered", "lie", "code"),
    [
        (whole(26), {}, "inflated_completion"),
        (whole(response_hash=Bytes32(b"\x01" * 32)), {}, "wrong_response_hash"),
        (whole(), {"prompt_tokens": 4}, "inflated_prompt"),
        (NOTHING, {"prompt_tokens": 4}, "inflated_prompt"),
    ],
)
def test_check_delivery__one_token_or_one_bit_too_many__is_a_lie(delivered, lie, code):
    with pytest.raises(Problem) as caught:
        check_delivery(replace(GOOD, **lie), PURCHASE, delivered)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("delivered", "credit"),
    [
        (NOTHING, 0),
        (Delivered(10), 13),
        (Delivered(27), 30),
        (Delivered(500), 30),
        (Delivered(0, hung_up=True), 30),
        (Delivered(10, hung_up=True), 30),
    ],
)
def test_check_delivery__cut_answer__confirms_what_came(delivered, credit):
    assert check_delivery(GOOD, PURCHASE, delivered) == credit


def test_check_delivery__whole_answer_with_a_failed_receipt__is_free_and_no_lie():
    failed = replace(GOOD, status=Status.FAILED, charge=Amount(0), response_hash=Bytes32(b"\x01" * 32))
    assert check_delivery(failed, PURCHASE, whole()) == 0


def test_proven_tokens__nothing_seen_or_charged__are_none():
    receipt = replace(GOOD, completion_tokens=5_000)
    assert proven_tokens(receipt, Delivered()) == TokenCount(0, 0)
    assert proven_tokens(replace(receipt, charge=Amount(0)), Delivered(10, hung_up=True)) == TokenCount(0, 0)
    assert proven_tokens(receipt, Delivered(10)) == TokenCount(receipt.prompt_tokens, 10)
    assert proven_tokens(receipt, Delivered(hung_up=True)) == TokenCount(receipt.prompt_tokens, TOKENS_UNDERWAY)


def test_check_delivery__hang_up__allows_what_was_on_its_way_and_no_more():
    big = make_purchase(100_000)
    receipt = replace(GOOD, completion_tokens=5_000, charge=Amount(5_003))
    assert check_delivery(receipt, big, Delivered(10, hung_up=True)) == 3 + 10 + TOKENS_UNDERWAY


def test_check_neighbours__totals_rise_by_each_charge__or_it_is_a_lie():
    before = replace(GOOD, seq=Micros(1), charge=Amount(100), cumulative=Amount(100))
    after = replace(GOOD, seq=Micros(9), charge=Amount(5), cumulative=Amount(135))
    check_neighbours(GOOD, before, after)
    check_neighbours(GOOD, None, None)
    with pytest.raises(Problem, match="before"):
        check_neighbours(GOOD, replace(before, cumulative=Amount(101)), None)
    with pytest.raises(Problem, match="after"):
        check_neighbours(GOOD, None, replace(after, cumulative=Amount(134)))


def test_key__of_the_factories__is_one_lane():
    assert GOOD.key == KEY == PURCHASE.key
