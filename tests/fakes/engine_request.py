"""One request of the stub engine: checked in vLLM's order with vLLM's words, and what the answer to it will be."""

import json
import math
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from tests.fakes import engine_bodies as bodies
from tests.fakes.engine_behaviour import Behaviour
from tests.fakes.engine_words import Speech, flatten

Json = dict[str, Any]


class Refusal(Exception):
    """An answer that is not a completion; a str body is sent as plain text."""

    def __init__(self, status: int, body: Json | str) -> None:
        super().__init__(status)
        self.status, self.body = status, body

    def response(self) -> web.Response:
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.status)
        return web.json_response(self.body, status=self.status)


@dataclass(frozen=True, slots=True)
class Answer:
    """All that will be said: `pieces` are one token each, for each choice. `usage()` may say otherwise, by a fault."""

    kind: str
    ident: str
    pieces: tuple[tuple[str, ...], ...]
    finish: str
    stop: str | None
    prompt_tokens: int
    completion_tokens: int
    behaviour: Behaviour
    options: Json
    listed: int | None
    """Alternatives beside each token; None: no log-probabilities are asked for."""

    @classmethod
    def of(cls, request: web.Request, body: Json, behaviour: Behaviour, speech: Speech, limit: int) -> Self:
        kind = "chat" if request.path.endswith("/chat/completions") else "text"
        prompts, prompt_tokens = _prompts(kind, body, speech)
        room = limit - (prompt_tokens if kind == "chat" else max(speech.count(prompt) for prompt in prompts))
        if room < 1:
            raise Refusal(400, bodies.too_long(limit))
        length, finish = _length(kind, body, behaviour, room)
        seeds = [f"{prompt}|{body.get('seed')}|{n}" for prompt in prompts for n in range(body.get("n") or 1)]
        cut = [_cut(speech.answer(seed, length), body.get("stop")) for seed in seeds]
        stop = next((word for _, word in cut if word), None)
        return cls(
            kind=kind,
            ident=("chatcmpl-" if kind == "chat" else "cmpl-") + request.headers.get("X-Request-Id", "0" * 16),
            pieces=tuple(tuple(part) for part, _ in cut),
            finish="stop" if stop else finish,
            stop=stop,
            prompt_tokens=prompt_tokens,
            # A model that ends by itself spends one more token on saying so; a recount of the text never sees it.
            completion_tokens=sum(len(part) + (1 if finish == "stop" and not word else 0) for part, word in cut),
            behaviour=behaviour,
            options=body.get("stream_options") or {},
            listed=(body.get("top_logprobs") or 0) if body.get("logprobs") and kind == "chat" else None,
        )

    def usage(self, done: int | None = None) -> Json | None:
        """As counted, or as the fault has it. `done`: tokens so far, for continuous_usage_stats."""
        count = self.completion_tokens if done is None else done
        wrong = {"nan_usage": math.nan, "negative_usage": -count, "huge_usage": 10 * count}
        if self.behaviour.fault == "no_usage":
            return None
        counted = bodies.usage(self.prompt_tokens, count)
        return counted | ({"completion_tokens": wrong[self.behaviour.fault]} if self.behaviour.fault in wrong else {})


def read_request(request: web.Request, raw: bytes, *, model: str) -> Json:
    """vLLM's checks in vLLM's order. Raises Refusal."""
    if request.content_type != "application/json":
        detail = "Unsupported Media Type: Only 'application/json' is allowed"
        raise Refusal(400, bodies.validation(detail, None))
    try:
        body = json.loads(raw)
    except ValueError as exc:
        place = getattr(exc, "pos", 0)
        detail = f"{{'type': 'json_invalid', 'loc': 'body.{place}', 'msg': 'JSON decode error'}}"
        raise Refusal(400, bodies.validation(detail, f"body.{place}")) from exc
    if not isinstance(body, dict):
        raise Refusal(400, bodies.validation("{'type': 'model_attributes_type', 'loc': 'body'}", "body"))
    needed = "messages" if request.path.endswith("/chat/completions") else "prompt"
    if needed not in body:
        detail = f"{{'type': 'missing', 'loc': 'body.{needed}', 'msg': 'Field required'}}"
        raise Refusal(400, bodies.validation(detail, f"body.{needed}"))
    name = str(body.get("model", model)).partition("#")[0]
    if name != model:
        message = f"The model `{name}` does not exist. Valid aliases: {model}."
        raise Refusal(404, bodies.error(404, "NotFoundError", message, "model"))
    _check_parameters(body)
    return body


def _check_parameters(body: Json) -> None:
    if body.get("messages") == []:
        message = "Cannot apply chat template to an empty conversation. Provide at least one message."
        raise Refusal(400, bodies.bad_request(message))
    temperature, tokens = body.get("temperature"), body.get("max_tokens")
    if temperature is not None and temperature < 0:
        tail = f"(parameter=temperature, value={float(temperature)})"
        message = f"temperature must be non-negative, got {float(temperature)}. {tail}"
        raise Refusal(400, bodies.bad_request(message, "temperature"))
    if tokens is not None and tokens < 1:
        message = f"max_tokens must be at least 1, got {tokens}. (parameter=max_tokens, value={tokens})"
        raise Refusal(400, bodies.bad_request(message, "max_tokens"))
    if body.get("tools") and body.get("tool_choice", "auto") == "auto":
        message = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        raise Refusal(400, bodies.bad_request(message))
    if temperature == 0 and (body.get("n") or 1) > 1:
        raise Refusal(400, bodies.bad_request(f"n must be 1 when using greedy sampling, got {body['n']}."))


def _length(kind: str, body: Json, behaviour: Behaviour, room: int) -> tuple[int, str]:
    """How many tokens of text, and why they end. /v1/completions gives 16 when nothing is asked."""
    asked = body.get("max_completion_tokens") or body.get("max_tokens") or (room if kind == "chat" else 16)
    most = min(int(asked), room)
    wanted = most if body.get("ignore_eos") else behaviour.tokens
    return min(most, wanted), "stop" if wanted < most else "length"


def _prompts(kind: str, body: Json, speech: Speech) -> tuple[list[str], int]:
    if kind == "chat":
        messages = body["messages"]
        text = "\n".join(flatten(message.get("content")) for message in messages)
        return [text], speech.count_messages(messages)
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    return [str(prompt) for prompt in prompts], sum(speech.count(str(prompt)) for prompt in prompts)


def _cut(pieces: list[str], stop: object) -> tuple[list[str], str | None]:
    """Up to the first stop string, which is not sent; the token that completed it is still spent, so it stays empty."""
    words = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, list) else []
    for end in range(1, len(pieces) + 1):
        text = "".join(pieces[:end])
        found = next((word for word in words if word in text), None)
        if found is not None:
            kept = text.partition(found)[0]
            before = "".join(pieces[: end - 1])
            return [*pieces[: end - 1], kept[len(before) :]] if kept.startswith(before) else [kept], found
    return pieces, None
