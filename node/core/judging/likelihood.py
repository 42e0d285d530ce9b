"""Likelihood under a reference model: is this text what the claimed model would write? Reads replies, never raises.

It tells a substituted or damaged model from the real one. It is no judge of quality between honest models: it prefers
its own model's text, and dull text to lively (measured: docs/duels.md).
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from node.core.duels import Vote
from node.core.judging.case import Judgement

LEAST_TOKENS = 4
"""A shorter answer says too little."""
MARGIN = 0.25
"""Mean log-probability a token by which one answer must be the likelier."""


def prompt_scores(reply: object, skip: int) -> list[float] | None:
    """Log-probabilities of a prompt's tokens after the first `skip`, from `prompt_logprobs`; None if there are none."""
    rows = reply.get("prompt_logprobs") if isinstance(reply, Mapping) else None
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        return None
    return _all_numbers([_only(row) for row in rows[skip:]])


def _only(row: object) -> object:
    """The token that stands there: with `prompt_logprobs: 0` the row has no other."""
    if not isinstance(row, Mapping) or not row:
        return None
    first = next(iter(row.values()))
    return first.get("logprob") if isinstance(first, Mapping) else None


def echo_scores(reply: object, prompt_chars: int) -> list[float] | None:
    """The same from the `echo` form of /v1/completions: tokens that begin after the prompt's characters."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    choice = choices[0] if isinstance(choices, Sequence) and not isinstance(choices, str) and choices else None
    logprobs = choice.get("logprobs") if isinstance(choice, Mapping) else None
    if not isinstance(logprobs, Mapping):
        return None
    offsets, values = logprobs.get("text_offset"), logprobs.get("token_logprobs")
    if not isinstance(offsets, Sequence) or not isinstance(values, Sequence):
        return None
    pairs = zip(offsets, values, strict=False)
    return _all_numbers([value for at, value in pairs if isinstance(at, int) and at >= prompt_chars])


def _all_numbers(values: Sequence[object]) -> list[float] | None:
    numbers = [float(one) for one in values if isinstance(one, int | float) and isfinite(one)]
    return numbers if values and len(numbers) == len(values) else None


def likelier(first: Sequence[float] | None, second: Sequence[float] | None, margin: float = MARGIN) -> Judgement:
    """The vote by mean log-probability a token, so that length alone decides nothing."""
    if first is None or second is None:
        return Judgement(Vote.TIE, "the reference model gave no likelihood of one answer")
    if min(len(first), len(second)) < LEAST_TOKENS:
        return Judgement(Vote.TIE, f"too short to tell: {len(first)} and {len(second)} tokens")
    means = [sum(scores) / len(scores) for scores in (first, second)]
    said = f"mean log-probability a token: {means[0]:.3f} and {means[1]:.3f}"
    if abs(means[0] - means[1]) < margin:
        return Judgement(Vote.TIE, said)
    return Judgement(Vote.FIRST if means[0] > means[1] else Vote.SECOND, said)
