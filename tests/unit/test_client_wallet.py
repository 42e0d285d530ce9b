"""The payer's transitions, one situation a test."""

from dataclasses import replace

import pytest

from node.client import wallet
from node.client.wallet import (
    BudgetReached,
    ExposureBusy,
    ExposureReached,
    Limits,
    PayeeStopped,
    Purchase,
    PurchaseState,
    Purse,
    Spend,
)
from node.core.errors import Refused
from node.core.messages import Receipt, Terms
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Status

KEY = LaneKey(Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20), 1)
LIMITS = Limits(Amount(100), Amount(80), Amount(150))


def make_purchase(price=40, **members) -> Purchase:
    terms = Terms(
        Bytes32(b"\x07" * 32), ZERO32, ZERO32, ZERO32, ZERO32, ZERO32, Amount(1_000_000), Amount(1_000_000),
        Amount(price), Seconds(1_000), 0, 0, 0, ZERO32,
    )  # fmt: skip
    return replace(Purchase(KEY, terms, ZERO32, 3, 0), **members)


def make_receipt(charge=30, cumulative=30) -> Receipt:
    return Receipt(
        KEY.payer, KEY.payee, KEY.lane, 1, Micros(5), Bytes32(b"\x07" * 32), ZERO32, ZERO32, ZERO32, ZERO32, 3, 27,
        Status.COMPLETE, Amount(charge), Amount(cumulative),
    )  # fmt: skip


def begun(price=40) -> tuple[Purse, Spend, Purchase]:
    purchase = make_purchase(price)
    purse, spend = wallet.begin(Purse(KEY), Spend(0), purchase, LIMITS)
    return purse, spend, purchase


def test_begin__fits__raises_ceiling_and_holds_the_maximum():
    purse, spend, _ = begun()
    assert (purse.ceiling, purse.in_flight, purse.exposed, spend.amount) == (40, 40, 40, 40)


def test_begin__next_to_another_in_flight__ceiling_covers_both():
    purse, spend, _ = begun()
    purse, _ = wallet.begin(purse, spend, make_purchase(50), LIMITS)
    assert purse.ceiling == 90


@pytest.mark.parametrize(
    ("verified", "price", "is_allowed"), [(0, 60, True), (0, 61, False), (10, 70, True), (10, 71, False)]
)
def test_begin__at_the_edge_of_the_exposure__not_one_unit_more(verified, price, is_allowed):
    limits = Limits(Amount(100), Amount(1000), Amount(1000))
    purse = Purse(KEY, ceiling=Amount(40), heard=Amount(40), explained=Amount(40), verified=Amount(verified))
    if is_allowed:
        wallet.begin(purse, Spend(0), make_purchase(price), limits)
        return
    with pytest.raises(ExposureReached):
        wallet.begin(purse, Spend(0), make_purchase(price), limits)


def test_begin__exposure_held_by_requests_in_flight__says_that_waiting_helps():
    purse, spend, _ = begun(70)
    with pytest.raises(ExposureBusy) as caught:
        wallet.begin(purse, spend, make_purchase(40), LIMITS)
    assert caught.value.retryable


def test_begin__above_a_budget__is_refused_with_the_numbers():
    with pytest.raises(BudgetReached, match="per-request") as caught:
        wallet.begin(Purse(KEY), Spend(0), make_purchase(81), LIMITS)
    assert caught.value.facts == {"needed": 81, "budget": 80}
    with pytest.raises(BudgetReached, match="daily"):
        wallet.begin(Purse(KEY), Spend(0, Amount(111)), make_purchase(40), LIMITS)


def test_begin__stopped_payee__is_refused():
    with pytest.raises(PayeeStopped, match="overcharge"):
        wallet.begin(wallet.stop(Purse(KEY), "overcharge"), Spend(0), make_purchase(1), LIMITS)


def test_stop__a_second_reason__keeps_the_first():
    assert wallet.stop(wallet.stop(Purse(KEY), "first"), "second").stopped == "first"


def test_book__whole_answer__charge_replaces_the_maximum():
    purse, spend, purchase = begun()
    purse, spend, purchase = wallet.book(purse, spend, purchase, make_receipt(), Amount(30))
    assert (purse.heard, purse.explained, purse.verified, purse.in_flight) == (30, 30, 30, 0)
    assert (spend.amount, purchase.state, purse.ceiling) == (30, PurchaseState.DONE, 40)


def test_book__only_a_part_recounted__the_rest_stays_exposed():
    purse, spend, purchase = begun()
    purse, _, _ = wallet.book(purse, spend, purchase, make_receipt(), Amount(10))
    assert (purse.explained, purse.verified, purse.exposed) == (30, 10, 30)


def test_book__after_a_refusal_that_was_a_lie__is_counted_as_spent_again():
    purse, spend, purchase = wallet.refuse(*begun())
    assert (purse.in_flight, spend.amount, purse.ceiling) == (0, 0, 40)
    purse, spend, _ = wallet.book(purse, spend, purchase, make_receipt(), Amount(0))
    assert (purse.in_flight, spend.amount, purse.exposed) == (0, 30, 40)


def test_refuse__twice__changes_nothing_more():
    once = wallet.refuse(*begun())
    assert wallet.refuse(*once) == once


def test_drop__only_long_after_start_by__and_spend_stays():
    purse, _, purchase = begun()
    assert wallet.drop(purse, purchase, Seconds(1_119)) == (purse, purchase)
    after, dropped = wallet.drop(purse, purchase, Seconds(1_120))
    assert (after.in_flight, after.ceiling, dropped.state) == (0, 40, PurchaseState.DROPPED)


def test_hear__total_above_receipts__starts_a_gap_that_grows_old():
    purse = wallet.hear(Purse(KEY), Amount(5), Seconds(100))
    purse = wallet.hear(purse, Amount(9), Seconds(400))
    assert (purse.gap, purse.gap_since) == (9, 100)
    assert not wallet.is_gap_overdue(purse, Seconds(699))
    assert wallet.is_gap_overdue(purse, Seconds(700))
    closed = wallet.hear(replace(purse, explained=Amount(9)), Amount(9), Seconds(500))
    assert (closed.gap_since, wallet.is_gap_overdue(closed, Seconds(9_999))) == (None, False)


def test_adopt__lost_wallet__starts_from_the_proved_base():
    purse, _, _ = begun()
    adopted = wallet.adopt(purse, Amount(500), Amount(450))
    assert (adopted.base, adopted.verified, adopted.ceiling, adopted.in_flight) == (450, 450, 500, 40)


@pytest.mark.parametrize(
    ("purse", "ceiling", "base"),
    [
        (Purse(KEY, heard=Amount(1)), 500, 450),
        (Purse(KEY, explained=Amount(1)), 500, 450),
        (Purse(KEY, ceiling=Amount(500)), 500, 450),
        (Purse(KEY), 500, 501),
    ],
)
def test_adopt__history_or_no_proof__is_refused(purse, ceiling, base):
    with pytest.raises(Refused):
        wallet.adopt(purse, Amount(ceiling), Amount(base))


def test_next_generation__totals_go_on_and_late_receipts_count_in_it():
    purse, _, _ = begun()
    later = wallet.next_generation(purse, 2)
    assert (later.key.generation, later.in_flight, later.ceiling) == (2, 0, 40)
    credited = wallet.credit_later(later, Amount(30), Amount(30))
    assert (credited.base, credited.explained, credited.verified) == (30, 30, 30)
