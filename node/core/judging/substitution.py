"""Did the named model make this answer? Its tokens and log-probabilities against the same request run again. Pure.

Both runs share the request with its seed, so up to the first token in which they differ, that one included, they say
log-probabilities of the same tokens after the same text. What a provider shows it has not signed: a finding convinces
the payer who asked, nobody else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from node.core.ratings import Finding, Sprt, SprtRule, next_sprt

LEAST_TOKENS = 8
"""Two runs that part earlier say too little, unless what they say is already too far apart."""
RULE = SprtRule(fair=0.95, poor=0.5)
"""At most 1 % of providers whose engine agrees with ours on 95 % of the answers are convicted, and at most 5 % of
those are cleared whose model agrees on half of them or fewer."""


class Likeness(StrEnum):
    """What one answer says."""

    SAME = "same"
    DIFFERENT = "different"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart two runs of one model may lie, in natural units of log-probability."""

    most: float
    mean: float
    same_seed: bool
    """Whether one seed must draw the same tokens: the same engine, in float32, on one kind of processor."""


TOLERANCES: Mapping[str, Tolerance] = {
    "exact": Tolerance(most=1e-3, mean=1e-3, same_seed=True),
    "loose": Tolerance(most=1.0, mean=0.1, same_seed=False),
}
"""`exact`: see `same_seed`. `loose`: other processors, bfloat16, other batches."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token as it was said, and the alternatives that were listed beside it."""

    token: str
    logprob: float
    listed: Mapping[str, float]

    def at_most(self, token: str) -> float | None:
        """Log-probability of a token here: its own if listed, else that of the least likely listed; None: unknown."""
        return self.listed.get(token, min(self.listed.values(), default=None))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One answer against its repetition."""

    likeness: Likeness
    compared: int
    """Tokens that both runs say after the same text, the one included in which they part."""
    is_same_text: bool
    mean: float
    """Mean distance of the log-probabilities."""
    most: float
    """The largest; where the runs part without chance, also by how much the reference prefers its own token."""


def steps_of(reply: object) -> tuple[Step, ...]:
    """The first choice's tokens with their log-probabilities, from anybody's JSON; none for any other shape."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    logprobs = choice.get("logprobs") if isinstance(choice, Mapping) else None
    rows = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    steps = [_step(row) for row in rows] if isinstance(rows, list) else []
    return tuple(step for step in steps if step is not None) if None not in steps else ()


def _step(row: object) -> Step | None:
    said = _said(row)
    if said is None or not isinstance(row, Mapping):
        return None
    listed = row.get("top_logprobs")
    others = [one for entry in (listed if isinstance(listed, list) else ()) if (one := _said(entry)) is not None]
    return Step(*said, dict(sorted(others, key=lambda one: one[1])))  # two tokens of one spelling: the likelier


def _said(entry: object) -> tuple[str, float] | None:
    if not isinstance(entry, Mapping):
        return None
    token, logprob = entry.get("token"), entry.get("logprob")
    is_number = isinstance(logprob, int | float) and not isinstance(logprob, bool) and isfinite(logprob)
    return (token, float(logprob)) if isinstance(token, str) and is_number else None  # type: ignore[arg-type]


def compare(
    answer: Sequence[Step], again: Sequence[Step], tolerance: Tolerance, *, has_chance: bool = False
) -> Comparison:
    """`again` is the reference's run. `has_chance`: the request's temperature is not 0, so a seed draws the tokens."""
    pairs = list(zip(answer, again, strict=False))
    parted = next((at for at, (said, ours) in enumerate(pairs) if said.token != ours.token), None)
    distances = [abs(said.logprob - ours.logprob) for said, ours in pairs[:parted]]
    is_same_text = parted is None and len(answer) == len(again)
    gap = 0.0
    if parted is not None and (ours_at_most := again[parted].at_most(answer[parted].token)) is not None:
        is_listed = answer[parted].token in again[parted].listed
        apart = answer[parted].logprob - ours_at_most
        distances.append(abs(apart) if is_listed else max(apart, 0.0))
        gap = 0.0 if has_chance else again[parted].logprob - ours_at_most
    mean, most = sum(distances) / max(len(distances), 1), max([*distances, gap], default=0.0)
    likeness = Likeness.SAME
    if not pairs:
        likeness = Likeness.UNCLEAR
    elif mean > tolerance.mean or most > tolerance.most or (has_chance and tolerance.same_seed and not is_same_text):
        likeness = Likeness.DIFFERENT
    elif len(distances) < LEAST_TOKENS and not is_same_text:
        likeness = Likeness.UNCLEAR
    return Comparison(likeness, len(distances), is_same_text, mean, most)


def found(likenesses: Iterable[Likeness]) -> Likeness:
    """What a provider's answers say together: where the sequential test first ended. Unclear answers count nothing."""
    test = Sprt()
    for one in likenesses:
        if one is not Likeness.UNCLEAR and test.finding is Finding.OPEN:
            test = next_sprt(test, RULE, won=one is Likeness.SAME)
    return {Finding.CONVICTED: Likeness.DIFFERENT, Finding.HONEST: Likeness.SAME}.get(test.finding, Likeness.UNCLEAR)
