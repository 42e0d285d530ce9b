"""Likelihood under a reference model: is this text what the claimed model would write? Reads replies, never raises.

An answer is measured by how near its mean log-probability comes to that of the reference's own answers to the same
request. Another or damaged model writes what the reference finds unlikely; and a text that predicts itself (counting,
one sentence again and again), which any script can write, is likelier than what the model would say. It is no judge of
quality between honest models, and a canned text as lively as a real answer would pass (measured: docs/duels.md).
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite

from node.core.duels import Vote
from node.core.judging.case import Judgement

LEAST_TOKENS = 4
"""A shorter answer says too little."""
LONG_TOKENS = 16
"""Where all of the reference's own answers are that long, one under LEAST_TOKENS is none."""
MOST_TOKENS = 256
"""Tokens of an answer that count: later ones are likelier, so all are measured over the same places."""
MARGIN = 0.25
"""Mean log-probability a token by which one answer must be the nearer."""
_MARKER = re.compile(r"<(?=[^\s<>]{1,64}>)|\[(?=/?[A-Za-z]?[A-Z_]{3,32}\d{0,4}\]|e~\[)|\](?=~!?b[\[\]])")
"""Where a text would begin what some tokenizer takes for one special token: `<|im_end|>`, `</s>`, `[INST]`, `]~b]`."""


def unmarked(text: str) -> str:
    """The text as words alone: an answer that ends its own turn and begins another would be measured as a chat (L6).

    A space, not an escape: code is full of these characters, and few tokens must change. The reference's own answers
    are treated alike, so that honest markup costs nothing against them.
    """
    return _MARKER.sub(r"\g<0> ", text)


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


def nearer(
    first: Sequence[float] | None,
    second: Sequence[float] | None,
    own: Sequence[Sequence[float] | None],
    margin: float = MARGIN,
) -> Judgement:
    """The vote for the answer that is nearer to the reference's `own`, by mean log-probability a token."""
    usual = [scores for scores in own if scores is not None and len(scores) >= LEAST_TOKENS]
    if first is None or second is None or not usual:
        return Judgement(Vote.TIE, "the reference model gave no likelihoods to compare")
    lengths = (len(first), len(second))
    is_short = [length < LEAST_TOKENS for length in lengths]
    if any(is_short):
        is_none = all(scores is not None and len(scores) >= LONG_TOKENS for scores in own)
        vote = Vote.TIE if all(is_short) or not is_none else Vote.SECOND if is_short[0] else Vote.FIRST
        return Judgement(vote, f"{lengths[0]} and {lengths[1]} tokens, where the reference says {len(usual[0])}")
    centre = sum(map(_mean, usual)) / len(usual)
    means = [_mean(scores) for scores in (first, second)]
    said = f"mean log-probability a token: {means[0]:.3f} and {means[1]:.3f}, the reference's own {centre:.3f}"
    gained = abs(means[1] - centre) - abs(means[0] - centre)
    if abs(gained) < margin:
        return Judgement(Vote.TIE, said)
    return Judgement(Vote.FIRST if gained > 0 else Vote.SECOND, said)


def _mean(scores: Sequence[float]) -> float:
    counted = scores[:MOST_TOKENS]
    return sum(counted) / len(counted)
