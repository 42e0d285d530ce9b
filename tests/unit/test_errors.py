"""The error tree: codes are unique and stable."""

from node.core import errors
from node.core.errors import Broken, CoverTooLow, Refused, Unavailable, WwwserveError


def leaves(cls: type[WwwserveError]) -> list[type[WwwserveError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in leaves(child))]


def test_codes__whole_tree__are_unique() -> None:
    codes = [cls.code() for cls in leaves(WwwserveError)]
    assert len(codes) == len(set(codes))


def test_code__class_name__is_snake_case() -> None:
    assert CoverTooLow.code() == "cover_too_low"


def test_retryable__by_branch__is_set() -> None:
    assert Unavailable.retryable
    assert not Broken.retryable
    assert not Refused.retryable
    assert errors.Overloaded.retryable


def test_facts__given__are_kept() -> None:
    assert CoverTooLow("more", shortfall=3).facts == {"shortfall": 3}
