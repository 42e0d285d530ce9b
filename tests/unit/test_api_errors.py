"""One table class -> status; codes are unique; nothing internal leaks."""

import pytest

from node.api.errors import AMOUNTS, STATUS, error_document, retry_after, shown
from node.core import errors as e


def tree(cls: type[e.WwwserveError] = e.WwwserveError) -> list[type[e.WwwserveError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in tree(child))]


def test_table__every_class_of_the_error_file__is_listed() -> None:
    ours = {cls for cls in tree() if cls.__module__ == "node.core.errors"}
    assert ours == set(STATUS)


def test_codes__of_all_classes__are_unique() -> None:
    codes = [cls.code() for cls in STATUS]
    assert len(codes) == len(set(codes))


def test_document__of_a_refusal__has_message_code_param_and_facts() -> None:
    document = error_document(e.CeilingTooLow("too low", shortfall=3, param="PAYMENT-SIGNATURE"))
    assert document == {
        "error": {
            "message": "too low",
            "type": "payment_error",
            "code": "ceiling_too_low",
            "param": "PAYMENT-SIGNATURE",
        },
        "retryable": False,
        "shortfall": "3",
    }


def test_document__of_a_bug__says_nothing_about_it() -> None:
    document = error_document(e.Broken("secret path /etc", secret="x"))
    assert "secret" not in str(document)
    assert document["error"]["message"] == "internal error"


def test_unlisted_class__is_a_bare_500() -> None:
    class Unheard(e.Refused):
        """Not in the table."""

    assert shown(Unheard("text")).status == 500
    assert "text" not in str(error_document(Unheard("text")))


@pytest.mark.parametrize("cls", [cls for cls in STATUS if cls.retryable])
def test_retry_after__of_what_may_be_retried__is_said(cls: type[e.WwwserveError]) -> None:
    assert retry_after(cls("later", retry_after=7)) == "7"
    assert retry_after(cls("later")) == "1"


def test_retry_after__of_a_refusal_for_good__is_absent() -> None:
    assert retry_after(e.BadRequest("no")) is None


def test_amounts__are_decimal_strings() -> None:
    for name in AMOUNTS:
        assert error_document(e.CoverTooLow("x", **{name: 2**70}))[name] == str(2**70)
