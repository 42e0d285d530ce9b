"""The substitution audit: answers that a client bought are run again on a reference engine and compared.

Buys what its caller asks for and nothing else; what a comparison means is core.judging.substitution's.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.core.errors import BadConfig
from node.core.judging.case import answer_text, question_text
from node.core.judging.substitution import Comparison, Step, Tolerance, compare, steps_of
from node.ports.engine import Engine
from node.services.judging import CHAT, ask

Dice = Callable[[int], bytes]
LISTED = 20
"""Alternatives asked for beside each token: as many as a node sells."""
CHANCE = 0.8
"""The temperature of every second question: its tokens are drawn by the agreed seed."""
OF_THE_MARKET = ("wwwserve", "stream", "stream_options", "max_completion_tokens")
"""What the reference is not told. It says as many tokens as the answer has: a provider may sell fewer than asked."""


@dataclass(frozen=True, slots=True)
class Bought:
    """One exchange as the client saw it: the request's JSON and the answer's."""

    request: Mapping[str, Any]
    answer: object


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask for. An empty provider leaves the choice to the market."""

    model: str
    questions: Sequence[str]
    answers: int
    tokens: int
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Rerun:
    """One answer, run again."""

    question: str
    answer: str
    comparison: Comparison


def requests_for(wish: Wish, dice: Dice) -> list[dict[str, Any]]:
    """Plain requests with a seed, log-probabilities and no stream; every second one leaves the tokens to chance."""
    return [_request(wish, number, int.from_bytes(dice(4), "big")) for number in range(wish.answers)]


def _request(wish: Wish, number: int, seed: int) -> dict[str, Any]:
    question = wish.questions[number % len(wish.questions)]
    fields: dict[str, Any] = {
        "model": wish.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": wish.tokens,
        "temperature": CHANCE if number % 2 else 0,
        "seed": seed,
        "logprobs": True,
        "top_logprobs": LISTED,
    }
    return {**fields, "wwwserve": {"providers": [wish.provider]}} if wish.provider else fields


async def buy_all(seller: Engine, requests: Sequence[Mapping[str, Any]]) -> AsyncIterator[Bought]:
    """One after the other, through anything that speaks the API. Raises EngineFailed."""
    for request in requests:
        yield Bought(request, await ask(seller, CHAT, request))


async def rerun(reference: Engine, model: str, one: Bought, tolerance: Tolerance) -> Rerun:
    """Repeat and judge. Raises EngineFailed, or BadConfig for a request that cannot be run again."""
    return judged(one, await repeated(reference, model, one), tolerance)


async def repeated(reference: Engine, model: str, one: Bought) -> tuple[Step, ...]:
    """The same request on the reference engine; none for an answer without log-probabilities. Raises as `rerun`."""
    check_repeatable(one.request)
    length = len(steps_of(one.answer))
    fields = {name: value for name, value in one.request.items() if name not in OF_THE_MARKET}
    fields |= {"model": model, "logprobs": True, "top_logprobs": LISTED, "max_tokens": length}
    return steps_of(await ask(reference, CHAT, fields)) if length else ()


def judged(one: Bought, again: Sequence[Step], tolerance: Tolerance) -> Rerun:
    """What an answer and its repetition say together."""
    has_chance = one.request.get("temperature") != 0
    comparison = compare(steps_of(one.answer), again, tolerance, has_chance=has_chance)
    return Rerun(question_text(one.request), _text(one.answer), comparison)


def check_repeatable(request: Mapping[str, Any]) -> None:
    """Raises BadConfig for a request that two honest runs would answer differently, or without log-probabilities."""
    is_fixed = request.get("temperature") == 0 or isinstance(request.get("seed"), int)
    if not isinstance(request.get("messages"), list) or not is_fixed or not request.get("logprobs"):
        raise BadConfig("only a chat request with logprobs and a seed (or temperature 0) can be run again")


def _text(answer: object) -> str:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return answer_text([choice.get("message")] if isinstance(choice, Mapping) else None)
