"""The client's side of the demo: the official openai package, knowing only a base_url and a key."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

from node.core.errors import Broken

QUESTION = "What is the capital of France?"
SECOND = "Name three colours."
MAX_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer as the openai package gave it; `cost` is our member of `usage`."""

    what: str
    text: str
    cost: dict[str, Any]


def buy_stream(client: openai.OpenAI, model: str, show: Callable[[str], None]) -> Heard:
    """One streamed chat completion; `show` gets the words as they come."""
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=MAX_TOKENS,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    for event in stream:
        usage = event.usage or usage
        piece = event.choices[0].delta.content if event.choices else None
        if piece:
            text += piece
            show(piece)
    return _heard("streamed chat", text, usage)


def buy_plain(client: openai.OpenAI, model: str) -> Heard:
    """One plain chat completion."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": SECOND}],
        max_tokens=MAX_TOKENS,
        temperature=0,
    )
    return _heard("plain chat", answer.choices[0].message.content or "", answer.usage)


def open_client(base_url: str, api_key: str) -> openai.OpenAI:
    """The unmodified official client. Its own proxy settings are ignored: everything is on loopback."""
    return openai.OpenAI(
        base_url=base_url, api_key=api_key, http_client=openai.DefaultHttpxClient(trust_env=False), timeout=120
    )


def _heard(what: str, text: str, usage: Any) -> Heard:  # noqa: ANN401 -- the package's own model
    if usage is None:
        raise Broken(f"the {what} came without usage")
    cost = (usage.model_extra or {}).get("cost")
    if not isinstance(cost, dict):
        raise Broken(f"the {what} came without its cost")
    return Heard(what, text, cost)
