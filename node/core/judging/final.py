"""Final answers: what of a text is the answer, its reasoning left out; its value where it can be compared exactly."""

import json
import re
from fractions import Fraction

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]{0,200})\}")
_MARKED = re.compile(r"(?:####|final answer\s*(?:is)?\s*:?|answer\s*:)[ \t]*([^\n]{1,200})", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d[\d,]{0,40}(?:\.\d{1,40})?(?:\s*/\s*\d{1,20})?")
_LETTER = re.compile(r"\b([A-E])\b")
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def final_text(text: str) -> str:
    """What is left when the reasoning is taken out. An unfinished reasoning has no answer: nothing is left of it."""
    left = _THOUGHT.sub("", text)
    opened = _OPEN_THOUGHT.search(left)
    return (left[: opened.start()] if opened else left).strip()


def stated(text: str) -> str:
    """The value an answer states: boxed, marked, or else its last line."""
    final = final_text(text)
    for pattern in (_BOXED, _MARKED):
        if found := pattern.findall(final):
            return str(found[-1]).strip().rstrip(".")
    lines = [line.strip() for line in final.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def number_of(text: str) -> Fraction | None:
    """The last number an answer states, exactly; None when it states none."""
    found = _NUMBER.findall(stated(text)) or _NUMBER.findall(final_text(text))
    if not found:
        return None
    numerator, _, denominator = found[-1].replace(",", "").replace(" ", "").partition("/")
    if denominator and not int(denominator):
        return None
    return Fraction(numerator) / (int(denominator) if denominator else 1)


def letter_of(text: str) -> str | None:
    """The letter a multiple-choice answer states; None for none or several."""
    found = set(_LETTER.findall(stated(text)))
    return found.pop() if len(found) == 1 else None


def json_of(text: str) -> str | None:
    """The JSON an answer consists of, in one spelling; None when it is none."""
    final = final_text(text)
    fenced = _FENCE.findall(final)
    try:
        return json.dumps(json.loads(fenced[-1] if fenced else final), sort_keys=True)
    except (ValueError, RecursionError):
        return None
