"""core.wire: one id, one encoding (threat I5); everything else is refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.errors import BadVoucher
from node.core.messages import Receipt, Terms, Voucher
from node.core.wire import (
    address_of,
    bytes_of,
    message_from_json,
    message_to_json,
    offer_from_json,
    offer_to_json,
    signature_of,
    uint_of,
)
from tests.factories import make_offer, make_receipt, make_terms, make_voucher


@pytest.mark.parametrize("message", [make_terms(), make_voucher(), make_receipt()], ids=lambda m: type(m).__name__)
def test_round_trip__message__is_unchanged(message: Any) -> None:
    assert message_from_json(type(message), message_to_json(message)) == message


def test_round_trip__offer__is_unchanged() -> None:
    assert offer_from_json(offer_to_json(make_offer())) == make_offer()


@pytest.mark.parametrize("bad", [None, [], {"models": None}, {"models": [{}] * 257}])
def test_offer__malformed__is_refused(bad: object) -> None:
    with pytest.raises(BadVoucher):
        offer_from_json(bad)


@pytest.mark.parametrize(
    "bad", ["", "0x", "ab" * 20, "0x" + "ab" * 19, "0x" + "ab" * 21, "0X" + "ab" * 20, "0x" + "zz" * 20, 5, None,
            "0x" + " a" * 20, "0x" + "\u0661" * 40, "0x" + "a_" * 20],
)  # fmt: skip
def test_address__not_canonical__is_refused(bad: object) -> None:
    with pytest.raises(BadVoucher):
        address_of(bad, "payer")


def test_address__any_letter_case__is_one_id() -> None:
    assert address_of("0x" + "AB" * 20, "payer") == address_of("0x" + "ab" * 20, "payer")


def test_signature__compact_form__is_refused() -> None:
    with pytest.raises(BadVoucher):
        signature_of("0x" + "11" * 64)


@pytest.mark.parametrize(
    "bad", ["01", "-1", "1.0", "1e3", "", " 1", "+1", "9" * 41, 2**128, -1, True, None, 1.0, "\u0661"]
)
def test_uint__not_canonical__is_refused(bad: object) -> None:
    with pytest.raises(BadVoucher):
        uint_of(bad, 128, "ceiling")


@pytest.mark.parametrize("good", [0, "0", 2**128 - 1, str(2**128 - 1)])
def test_uint__canonical__is_read(good: object) -> None:
    assert uint_of(good, 128, "ceiling") == int(good)  # type: ignore[call-overload]


def test_message__extra_member__is_refused() -> None:
    with pytest.raises(BadVoucher):
        message_from_json(Voucher, {**message_to_json(make_voucher()), "note": 1})


def test_message__missing_member__is_refused() -> None:
    value = message_to_json(make_terms())
    del value["salt" if "salt" in value else "hops"]
    with pytest.raises(BadVoucher):
        message_from_json(Terms, value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_message__any_json__is_refused_or_read_but_never_crashes(value: object) -> None:
    with pytest.raises(BadVoucher):
        message_from_json(Receipt, value)


def test_bytes__exact_length__is_read() -> None:
    assert bytes_of("0x00ff", 2, "x") == b"\x00\xff"


def _shifted(texts: list[str]) -> list[list[str]]:
    """The same digits between other borders, and other ways to write what is no canonical hex."""
    first, second = texts
    return [
        [first + second[:2], second[2:]],
        [first[:-2], second[:2] + first[-2:] + second[2:]],
        [first[2:], "0x" + second],
        ["0x" + first[2:].replace(first[2:4], "  ", 1), second],
        ["0X" + first[2:], second],
        [first[:-1] + "x", second],
        [first[:-2] + "0x", second],
        [first[:-2] + "0x", second[2:] + "ab"],
        [first, second[:-1] + "\u0661"],
    ]


def test_message__hex_members_that_are_moved_or_padded__are_refused() -> None:
    """All hex members are read by one conversion: it must not see less than reading each by itself."""
    good = message_to_json(make_terms())
    cases = _shifted([good["requestId"], good["requestHash"]])
    for one, two in cases:
        with pytest.raises(BadVoucher):
            message_from_json(Terms, good | {"requestId": one, "requestHash": two})
    assert len(cases) == 9


def test_message__member_of_another_type__is_refused() -> None:
    good = message_to_json(make_terms())
    for bad in (None, 7, ["0x" + "00" * 32], b"0x" + b"00" * 32, {"a": 1}):
        with pytest.raises(BadVoucher, match="originHash"):
            message_from_json(Terms, good | {"originHash": bad})
