"""The judges a node can have: a model asked in both orders, a reference model's likelihood, a table of known answers.

Each asks an OpenAI-compatible engine through ports.Engine and leaves every reading of replies to core.judging. What is
sent was written by strangers and may be long: it is made plain, and all that reads it runs beside the event loop.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from node.core.errors import EngineFailed
from node.core.judging import likelihood, verdict
from node.core.judging.case import MOST_SHOWN, Case, Judgement, answer_text, clean, plain, question_text
from node.core.judging.envelope import Dice, nonce_for, verdict_request
from node.core.judging.exact import Known, known_judgement
from node.ports.engine import Engine, Exchange
from node.ports.judging import Judge

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MOST_REPLY_BYTES = 32 * 1024 * 1024
"""The log-probabilities of a long prompt are long."""
HTTP_OK = 200
OWN_ANSWERS = 3
"""The reference's own, that the two are measured against."""
REPEATED = ("messages", "prompt", "temperature", "top_p", "top_k", "min_p", "stop")
"""What of a request the reference is asked too; all else is the client's business with its executor."""


async def ask(engine: Engine, path: str, body: Mapping[str, Any]) -> object:
    """One plain exchange. Raises EngineFailed; what came is anybody's JSON."""
    exchange = engine.open(path, await asyncio.to_thread(_written, body))
    try:
        status = await exchange.start()
        raw = await _read_all(exchange)
    except BaseException:
        exchange.cancel()
        raise
    if status != HTTP_OK:
        raise EngineFailed("the engine refuses", engine_status=status)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise EngineFailed("the engine's reply is not JSON") from exc


def _written(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(plain(body))


async def _read_all(exchange: Exchange) -> bytes:
    reply = bytearray()
    while raw := await exchange.read():
        reply += raw
        if len(reply) > MOST_REPLY_BYTES:
            raise EngineFailed("the engine's reply has no end")
    return bytes(reply)


@dataclass(frozen=True, slots=True)
class PairwiseJudge:
    """A model is asked which answer is better, in both orders. As good as the model is: measure it (docs/duels.md)."""

    engine: Engine
    model: str
    dice: Dice
    margin: float = verdict.MARGIN

    async def judge(self, case: Case) -> Judgement:
        """See ports.judging.Judge."""
        straight = await self._chance(case)
        crossed = await self._chance(case.swapped())
        return verdict.agreed(straight, None if crossed is None else 1.0 - crossed, self.margin)

    async def _chance(self, case: Case) -> float | None:
        """A new name for the envelopes each time: what one order leaked is of no use in the other."""
        body = await asyncio.to_thread(lambda: verdict_request(self.model, case, nonce_for(case, self.dice)))
        return verdict.chance_of_first(await ask(self.engine, CHAT, body))


@dataclass(frozen=True, slots=True)
class LikelihoodJudge:
    """How near each answer comes to a reference model's own. Needs `prompt_logprobs` (chat) or `echo`."""

    engine: Engine
    model: str
    margin: float = likelihood.MARGIN

    async def judge(self, case: Case) -> Judgement:
        """See ports.judging.Judge."""
        own = await self._own(case)
        # The reference's window is not endless.
        texts = [likelihood.unmarked(text[:MOST_SHOWN]) for text in (case.first, case.second, *own)]
        scores = await self._scores(case, texts)
        return likelihood.nearer(scores[0], scores[1], scores[2:], self.margin)

    async def _own(self, case: Case) -> list[str]:
        """What the reference answers to the same request, some times."""
        kept = {name: case.fields[name] for name in REPEATED if name in case.fields}
        body = {**kept, "model": self.model, "max_tokens": own_tokens(case.fields), "n": OWN_ANSWERS}
        return own_texts(await ask(self.engine, CHAT if case.is_chat else COMPLETIONS, body))

    async def _scores(self, case: Case, texts: Sequence[str]) -> list[list[float] | None]:
        if case.is_chat:
            return await self._of_chat(list(case.fields["messages"]), texts)
        return [await self._of_completion(question_text(case.fields), text) for text in texts]

    async def _of_chat(self, messages: list[object], texts: Sequence[str]) -> list[list[float] | None]:
        """The prompt alone tells where an answer begins."""
        form = {"model": self.model, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        skip = _prompt_length(await ask(self.engine, CHAT, {**form, "messages": messages}))
        if skip is None:
            return [None for _ in texts]
        form |= {"add_generation_prompt": False, "continue_final_message": True}
        scores: list[list[float] | None] = []
        for text in texts:
            answered = [*messages, {"role": "assistant", "content": text}]
            reply = await ask(self.engine, CHAT, {**form, "messages": answered}) if text else None
            scores.append(likelihood.prompt_scores(reply, skip) if text else [])
        return scores

    async def _of_completion(self, prompt: str, text: str) -> list[float] | None:
        if not text:
            return []
        prompt = clean(prompt)  # its length tells where the answer begins
        body = {"model": self.model, "prompt": prompt + text, "echo": True, "logprobs": 0, "max_tokens": 1}
        return likelihood.echo_scores(await ask(self.engine, COMPLETIONS, body), len(prompt))


def own_tokens(fields: Mapping[str, Any]) -> int:
    """As many as the request allows, within what is compared."""
    limit = fields.get("max_completion_tokens", fields.get("max_tokens"))
    is_limit = isinstance(limit, int) and not isinstance(limit, bool) and limit > 0
    return min(limit, likelihood.MOST_TOKENS) if is_limit else likelihood.MOST_TOKENS


def own_texts(reply: object) -> list[str]:
    """The choices' texts, without the empty ones."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    texts = [answer_text([one.get("message", one)]) for one in choices or () if isinstance(one, Mapping)]
    return [text for text in texts if text]


def _prompt_length(reply: object) -> int | None:
    """How many tokens stand before an answer."""
    rows = reply.get("prompt_logprobs") if isinstance(reply, Mapping) else None
    return len(rows) if isinstance(rows, list) and rows else None


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """Questions whose answer this judge knows, by the hash of the question's words; other cases go to `otherwise`."""

    otherwise: Judge
    answers: Known = field(default_factory=dict)

    async def judge(self, case: Case) -> Judgement:
        """See ports.judging.Judge."""
        known = await asyncio.to_thread(known_judgement, self.answers, case)
        return known or await self.otherwise.judge(case)
