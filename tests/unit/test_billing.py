"""The billing table, its formula and its one rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.billing import BILLING, Ending, Prices, settle_outcome
from node.core.errors import PriceTooLow
from node.core.pricing import charge_of, completion_room
from node.core.types import ZERO32, Amount, Status, TokenCount

PRICES = Prices(Amount(100_000), Amount(300_000), Amount(10**9))
DELIVERED = TokenCount(100, 50)


@pytest.mark.parametrize(
    ("ending", "status", "charge"),
    [
        (Ending.FINISHED, Status.COMPLETE, 25),
        (Ending.HUNG_UP, Status.CANCELLED, 25),
        (Ending.HUNG_UP_EARLY, Status.CANCELLED, 0),
        (Ending.FAILED_EARLY, Status.FAILED, 0),
        (Ending.FAILED_LATE, Status.PARTIAL, 25),
    ],
)
def test_billing__each_ending__bills_as_the_table_says(ending: Ending, status: Status, charge: int) -> None:
    outcome = settle_outcome(ending, DELIVERED, PRICES, ZERO32)
    assert (outcome.status, outcome.charge) == (status, charge)


def test_billing__table__has_a_row_for_each_ending() -> None:
    assert set(BILLING) == set(Ending)


def test_billing__delivered_more_than_reserved__charges_the_reservation() -> None:
    prices = Prices(Amount(100_000), Amount(300_000), Amount(24))
    assert settle_outcome(Ending.FINISHED, DELIVERED, prices, ZERO32).charge == 24


def test_charge__fraction__rounds_up_once() -> None:
    assert charge_of(TokenCount(1, 1), Amount(1), Amount(1)) == 1
    assert charge_of(TokenCount(0, 0), Amount(1), Amount(1)) == 0
    assert charge_of(TokenCount(500_000, 500_000), Amount(1), Amount(1)) == 1


@given(
    st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 2**64)
)
def test_completion_room__any_prices__is_the_most_that_fits(
    prompt: int, extra: int, price_prompt: int, price_completion: int, max_price: int
) -> None:
    def cost(completion: int) -> int:
        return charge_of(TokenCount(prompt, completion), Amount(price_prompt), Amount(price_completion))

    try:
        room = completion_room(Amount(max_price), prompt, Amount(price_prompt), Amount(price_completion))
    except PriceTooLow:
        assert cost(1) > max_price
        return
    assert room >= 1
    assert cost(room) <= max_price
    if price_completion:
        assert cost(room + 1) > max_price
