"""A request body as this node understands it, and what of it goes to the engine. Pure: no ports, no money.

Two rules keep the price honest. (1) Only parameters of the tables below reach the engine: one that a newer engine
understands as "more choices", "hidden tokens" or "another prompt" cannot slip through by being unknown to us. (2) What
is counted is what is sent: `core.prompt` rewrites messages to the plain form that the chat template gets on both sides.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from node.core.errors import BadRequest, NotOffered
from node.core.prompt import counted_prompt
from node.core.records import record
from node.services.routing_wishes import NO_WISHES, Wishes, parse_wishes

MAX_TOP_LOGPROBS = 20
"""vLLM's own default limit; more would multiply bytes, not tokens."""

PASSED = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "stop_token_ids",
        "logit_bias",
        "response_format",
        "structured_outputs",
        "top_logprobs",
        "logprobs",
    },
)
"""Sent on as they are: they shape the one choice and cannot add tokens beyond `max_tokens`."""
DROPPED = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "parallel_tool_calls",
        "tool_choice",
        "function_call",
    },
)
"""No effect here, and the first ones say who the end user is: the engine need not know (threat L5)."""
NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "use_beam_search": (False,),
    "prompt_logprobs": (),
    "tools": ([],),
    "functions": ([],),
    "modalities": (["text"],),
    "suffix": ("",),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "add_special_tokens": (),
    "include_reasoning": (),
    "return_token_ids": (False,),
    "ignore_eos": (False,),
    "min_tokens": (0,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
}
"""Refused unless they say what is done anyway: each can bill or emit more than one choice, change the prompt, or (the
last two before the special tokens) make the engine work for tokens that have no text and so are never billed."""
OURS = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "wwwserve"}
)
STREAM_OPTIONS = frozenset({"include_usage", "continuous_usage_stats"})


@record
class Request:
    """A checked body. `prompt` is what is counted and sent; `passed` are the sampling parameters."""

    path: str
    body: bytes
    model: str
    prompt: Mapping[str, object]
    passed: Mapping[str, object]
    is_stream: bool
    wants_usage: bool
    wants_running_usage: bool
    max_tokens: int | None
    wishes: Wishes = NO_WISHES

    def to_upstream(self, model: str, max_tokens: int, extra: Mapping[str, object]) -> bytes:
        """The engine's body: one choice, our token limit, usage always on."""
        out: dict[str, Any] = {"model": model, **self.prompt, **self.passed, "max_tokens": max_tokens, **extra}
        if self.is_stream:
            out["stream"] = True
            out["stream_options"] = {"include_usage": True}
            if self.wants_running_usage:
                out["stream_options"]["continuous_usage_stats"] = True
        return orjson.dumps(out)


def parse_request(path: str, body: bytes) -> Request:
    """Raises BadRequest or NotOffered naming the parameter."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the body is not valid JSON") from exc
    if not isinstance(fields, dict):
        raise BadRequest("the body must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model or len(model) > 256 or not model.isprintable():
        raise BadRequest("model must be the name of an offered model", param="model")
    options = _stream_options(fields)
    return Request(
        path=path,
        body=body,
        model=model,
        prompt=counted_prompt(path, fields),
        passed=_passed(fields),
        is_stream=_flag(fields, "stream"),
        wants_usage=_flag(options, "include_usage"),
        wants_running_usage=_flag(options, "continuous_usage_stats"),
        max_tokens=_max_tokens(fields),
        wishes=parse_wishes(fields.get("wwwserve")),
    )


def _flag(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false", param=name)
    return bool(value)


def _stream_options(fields: Mapping[str, object]) -> Mapping[str, object]:
    options = fields.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object", param="stream_options")
    if unknown := options.keys() - STREAM_OPTIONS:
        raise NotOffered(f"stream_options.{min(unknown)} is not served here", param="stream_options")
    return options


def _max_tokens(fields: Mapping[str, object]) -> int | None:
    limits = []
    for name in ("max_tokens", "max_completion_tokens"):
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequest(f"{name} must be a whole number of at least 1", param=name)
        limits.append(value)
    return min(limits, default=None)


def _passed(fields: Mapping[str, object]) -> dict[str, object]:
    passed = {}
    for name, value in fields.items():
        if name in OURS or value is None or name in DROPPED:
            continue
        if name in PASSED:
            passed[name] = value
        elif not any(type(value) is type(neutral) and value == neutral for neutral in NEUTRAL.get(name, ())):
            raise NotOffered(f"the parameter {name!r} is not served with that value", param=name)
    _check_logprobs(passed)
    return passed


def _check_logprobs(passed: Mapping[str, object]) -> None:
    for name in ("logprobs", "top_logprobs"):
        value = passed.get(name, 0)
        if not isinstance(value, int) or not 0 <= value <= MAX_TOP_LOGPROBS:
            raise NotOffered(f"{name} goes up to {MAX_TOP_LOGPROBS}", param=name)
