"""core.voucher: each refusal by its own test."""

import pytest

from node.core.errors import (
    CoverTooLow,
    NotOffered,
    StaleGeneration,
    StaleTerms,
    UnknownModel,
    WrongPayee,
    WrongSignature,
    WrongTerms,
)
from node.core.hashing import keccak
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Seconds
from node.core.voucher import (
    START_BY_HORIZON,
    START_BY_SKEW,
    Standing,
    check_body,
    check_minimum_budget,
    check_mode,
    check_terms,
    check_voucher,
)
from tests.factories import NOW, PAYEE, PAYER, make_model, make_offer, make_terms, make_voucher

STANDING = Standing(payee=PAYEE, generation=0, signer_payer=PAYER, cover=Amount(100))


def test_voucher__all_right__passes() -> None:
    check_voucher(make_voucher(), PAYER, STANDING)


def test_voucher__another_payee__is_refused_with_ours() -> None:
    with pytest.raises(WrongPayee) as refused:
        check_voucher(make_voucher(payee=Address(b"\x01" * 20)), PAYER, STANDING)
    assert refused.value.facts["pay_to"] == "0x" + PAYEE.hex()


@pytest.mark.parametrize("bound_to", [ZERO_ADDRESS, Address(b"\x05" * 20)])
def test_voucher__signer_unknown_or_of_another_payer__is_refused(bound_to: Address) -> None:
    standing = Standing(payee=PAYEE, generation=0, signer_payer=bound_to, cover=Amount(100))
    with pytest.raises(WrongSignature):
        check_voucher(make_voucher(), PAYER, standing)


def test_voucher__older_generation__is_refused_with_the_live_one() -> None:
    standing = Standing(payee=PAYEE, generation=2, signer_payer=PAYER, cover=Amount(100))
    with pytest.raises(StaleGeneration) as refused:
        check_voucher(make_voucher(generation=1), PAYER, standing)
    assert refused.value.facts["generation"] == 2


def test_terms__as_offered__names_the_model() -> None:
    assert check_terms(make_terms(), make_voucher(), make_offer(), NOW) == make_model()


def test_terms__not_the_signed_ones__are_refused() -> None:
    with pytest.raises(WrongTerms, match="context"):
        check_terms(make_terms(max_price=Amount(99)), make_voucher(), make_offer(), NOW)


@pytest.mark.parametrize("late", [START_BY_SKEW + 1, START_BY_SKEW + 100])
def test_terms__start_by_passed__are_refused(late: int) -> None:
    terms = make_terms(start_by=Seconds(NOW - late))
    with pytest.raises(StaleTerms):
        check_terms(terms, make_voucher(terms), make_offer(), NOW)


def test_terms__start_by_within_the_skew__pass() -> None:
    terms = make_terms(start_by=Seconds(NOW - START_BY_SKEW))
    check_terms(terms, make_voucher(terms), make_offer(), NOW)


def test_terms__start_by_far_ahead__are_refused() -> None:
    terms = make_terms(start_by=Seconds(NOW + START_BY_HORIZON + 1))
    with pytest.raises(StaleTerms):
        check_terms(terms, make_voucher(terms), make_offer(), NOW)


def test_terms__another_offer__are_refused() -> None:
    terms = make_terms(offer_hash=keccak(b"other"))
    with pytest.raises(WrongTerms, match="another offer"):
        check_terms(terms, make_voucher(terms), make_offer(), NOW)


def test_terms__unknown_model__are_refused() -> None:
    terms = make_terms(model=keccak(b"gpt-9"))
    with pytest.raises(UnknownModel):
        check_terms(terms, make_voucher(terms), make_offer(), NOW)


@pytest.mark.parametrize("change", ["price_prompt", "price_completion", "tokenizer", "template"])
def test_terms__price_or_tokenizer_differs__are_refused(change: str) -> None:
    terms = make_terms(**{change: Amount(1) if change.startswith("price") else keccak(b"mine")})
    with pytest.raises(WrongTerms, match="differ"):
        check_terms(terms, make_voucher(terms), make_offer(), NOW)


def test_body__signed_bytes_and_model__pass() -> None:
    check_body(make_terms(), ZERO32, b"{}", "smollm2-135m", make_model())


def test_body__one_byte_more__is_refused() -> None:
    with pytest.raises(WrongTerms, match="requestHash"):
        check_body(make_terms(), ZERO32, b"{} ", "smollm2-135m", make_model())


def test_body__another_model__is_refused() -> None:
    with pytest.raises(WrongTerms, match="another model"):
        check_body(make_terms(), ZERO32, b"{}", "gpt-9", make_model())


def test_minimum_budget__cover_below__is_refused() -> None:
    check_minimum_budget(Amount(10), Amount(10))
    with pytest.raises(CoverTooLow):
        check_minimum_budget(Amount(9), Amount(10))


def test_mode__judge__is_not_sold_yet() -> None:
    check_mode(make_terms())
    with pytest.raises(NotOffered):
        check_mode(make_terms(mode=1))
