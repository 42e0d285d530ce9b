"""A judge's word read: the chance it gives the first answer, and the vote two orders together come to. Never raises.

What a model says is a stranger's text: every shape it may have ends as a number or as None, and None abstains.
"""

from collections.abc import Mapping, Sequence
from math import exp, isfinite

from node.core.duels import Vote
from node.core.judging.case import Judgement
from node.core.judging.envelope import LABELS

MARGIN = 0.1
"""How far from a coin's flip both orders must be, on the same side, to name a winner."""


def chance_of_first(reply: object) -> float | None:
    """What the judge gives label A against label B, from one reply of the chat route; None if it says neither."""
    choice = _first(_member(reply, "choices"))
    weights = _weights(_first(_member(_member(choice, "logprobs"), "content")))
    total = sum(weights.values())
    if total > 0.0:
        return weights[LABELS[0]] / total
    said = _member(_member(choice, "message"), "content")
    label = said.strip() if isinstance(said, str) else ""
    return {LABELS[0]: 1.0, LABELS[1]: 0.0}.get(label)


def _weights(token: object) -> dict[str, float]:
    """Probability mass of each label among the alternatives of the one token."""
    weights = dict.fromkeys(LABELS, 0.0)
    listed = _member(token, "top_logprobs")
    for one in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        text, logprob = _member(one, "token"), _member(one, "logprob")
        label = text.strip() if isinstance(text, str) else ""
        if label in weights and isinstance(logprob, int | float) and isfinite(logprob) and logprob <= 0:
            weights[label] += exp(logprob)
    return weights


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _first(value: object) -> object:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return value[0] if is_list and value else None  # type: ignore[index]


def agreed(straight: float | None, crossed: float | None, margin: float = MARGIN) -> Judgement:
    """`straight` and `crossed` are the chance of the first answer, shown first and shown second.

    A judge that prefers a place and not an answer disagrees with itself: that is a tie, never a winner.
    """
    if straight is None or crossed is None:
        return Judgement(Vote.TIE, "the judge gave no verdict in one order")
    shares = f"first answer: {straight:.3f} when shown first, {crossed:.3f} when shown second"
    if min(straight, crossed) > 0.5 + margin:
        return Judgement(Vote.FIRST, shares)
    if max(straight, crossed) < 0.5 - margin:
        return Judgement(Vote.SECOND, shares)
    return Judgement(Vote.TIE, shares)
