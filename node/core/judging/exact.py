"""Exact checkers: tasks whose answers can be compared with a known one, without a model."""

from collections.abc import Callable, Mapping

from node.core.duels import Vote
from node.core.hashing import keccak
from node.core.judging.case import Case, Judgement, question_text
from node.core.judging.final import json_of, letter_of, number_of, stated

Known = Mapping[bytes, tuple[str, str]]
"""(kind, expected answer) by `question_key`."""
READERS: Mapping[str, Callable[[str], object | None]] = {
    "number": number_of,
    "letter": letter_of,
    "json": json_of,
    "text": lambda text: " ".join(stated(text).casefold().split()) or None,
}
"""How an answer's value is read, by the kind of its task."""


def is_right(kind: str, expected: str, answer: str) -> bool:
    """Whether an answer states the expected value."""
    read = READERS[kind]
    wanted = read(expected)
    return wanted is not None and read(answer) == wanted


def checked(kind: str, expected: str, first: str, second: str) -> Judgement:
    """The vote: the right answer against a wrong one; two right or two wrong ones are a tie."""
    right = is_right(kind, expected, first), is_right(kind, expected, second)
    words = ["right" if one else "wrong" for one in right]
    said = f"{kind} compared with the known one: {words[0]} and {words[1]}"
    if right[0] == right[1]:
        return Judgement(Vote.TIE, said)
    return Judgement(Vote.FIRST if right[0] else Vote.SECOND, said)


def question_key(question: str) -> bytes:
    """What a known question is found by."""
    return keccak(" ".join(question.split()).encode("utf-8", "backslashreplace"))


def known_judgement(known: Known, case: Case) -> Judgement | None:
    """The verdict on a case whose question is known; None for any other."""
    found = known.get(question_key(question_text(case.fields)))
    return None if found is None else checked(*found, case.first, case.second)
