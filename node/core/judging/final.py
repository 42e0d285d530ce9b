"""Final answers: what of a text is the answer, its reasoning left out; its value where it can be compared exactly.

Texts are strangers' and may be long: every reading here takes time in proportion to the length, whatever the text.
"""

import json
import re
from fractions import Fraction

_THOUGHT = re.compile(r"<(/?)(think|thinking|reasoning)>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]{0,200})\}")
_MARKED = re.compile(r"(?:####|final answer\s{0,9}(?:is)?\s{0,9}:?|answer\s{0,9}:)[ \t]*([^\n]{1,200})", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d[\d,]{0,40}(?:\.\d{1,40})?(?:\s{0,9}/\s{0,9}\d{1,20})?")
_LETTER = re.compile(r"\b([A-E])\b")
_FENCE = "```"


def final_text(text: str) -> str:
    """What is left when the reasoning is taken out. An unfinished reasoning has no answer: nothing is left of it."""
    left, at, inside = [], 0, ""
    for tag in _THOUGHT.finditer(text):
        name = tag[2].lower()
        if not inside and not tag[1]:
            left.append(text[at : tag.start()])
            inside = name
        elif inside == name and tag[1]:
            at, inside = tag.end(), ""
    return ("".join(left) if inside else "".join(left) + text[at:]).strip()


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
    pieces = final.split(_FENCE)
    fenced = pieces[1:-1:2]  # every second piece, if a fence follows it
    try:
        return json.dumps(json.loads(fenced[-1].removeprefix("json") if fenced else final), sort_keys=True)
    except (ValueError, RecursionError):
        return None
