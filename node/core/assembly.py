"""From the bytes of an OpenAI-shaped answer to its choices: what payer and payee both hash and count. Sans I/O.

Payee and payer run this same code over the same bytes, so that they never disagree on the answer's hash or on the text
that is billed. It decides nothing: no status, no price, no verdict.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from node.core.choices import Choice
from node.core.errors import BadRequest

MAX_EVENT_BYTES = 1 << 20
"""An event larger than this is an attack on memory, not a token (threat H7)."""
MAX_CHOICES = 128
"""No OpenAI route answers with more; a larger index is an attack on memory."""
DONE = "[DONE]"
SURE_NESTING = 500
"""Brackets that Python's parser nests wherever it is called: up to 3.12 the caller's own stack counts (threat L4)."""
EVENT_END = re.compile(rb"\n\r?\n")
"""A blank line, for both line endings in use, mixed ones too."""
_LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would also cut at U+2028, which JSON may hold unescaped


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One server-sent event: its bytes as they came, and its data or its comment."""

    raw: bytes
    data: str | None
    comment: str | None

    @property
    def is_done(self) -> bool:
        """The terminal event of an OpenAI stream."""
        return self.data == DONE

    def chunk(self) -> dict[str, Any] | None:
        """The JSON object in `data`, or None when there is none.

        What only Python's parser reads (NaN, half a surrogate pair) is read too, unless it may be nested too deep.
        """
        if self.data is None or self.is_done:
            return None
        try:
            value = orjson.loads(self.data)
        except orjson.JSONDecodeError:
            is_shallow = self.data.count("[") + self.data.count("{") <= SURE_NESTING
            return json_object(self.data) if is_shallow else None
        return value if isinstance(value, dict) else None


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """The JSON object that a stranger sent; None for anything else, nests too deep for the parser included."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class SseParser:
    """Cuts a byte stream into events, whatever the chunk borders. Raises BadRequest for an endless event."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events completed by these bytes, in order."""
        searched = max(0, len(self._rest) - 2)  # an end may have begun
        self._rest += data
        events, start = [], 0
        for gap in EVENT_END.finditer(self._rest, searched):
            events.append(event_of(self._rest[start : gap.end()]))
            start = gap.end()
        self._rest = self._rest[start:]
        if len(self._rest) > MAX_EVENT_BYTES:
            raise BadRequest("an event of this stream has no end", limit=MAX_EVENT_BYTES)
        return events

    @property
    def rest(self) -> bytes:
        """Bytes of an unfinished event: not empty at the end of a stream that was cut in mid-event."""
        return self._rest


def event_of(raw: bytes) -> SseEvent:
    """One whole event's bytes, read."""
    data: list[str] = []
    comments: list[str] = []
    for line in _LINE_END.split(raw.decode("utf-8", "replace")):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif not name and value:
            comments.append(value)
    return SseEvent(raw, "\n".join(data) if data else None, "\n".join(comments) if comments else None)


@dataclass(slots=True)
class _Part:
    """One choice while it grows."""

    key: str = "content"
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish_reason: str | None = None


class Assembler:
    """Collects the chunks of one stream; order and splitting of the chunks do not matter to the result."""

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}
        self.usage: Mapping[str, Any] | None = None
        self.error: Mapping[str, Any] | None = None

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Add one chunk's JSON. Members that are not part of an answer are ignored."""
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        if isinstance(chunk.get("error"), dict):
            self.error = chunk["error"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._feed_choice(choice)

    def _feed_choice(self, choice: Mapping[str, Any]) -> None:
        index = choice.get("index", 0)
        if type(index) is not int or not 0 <= index < MAX_CHOICES:
            raise BadRequest("a choice's index is out of range", index=str(index)[:20])
        part = self._parts.setdefault(index, _Part())
        if isinstance(reason := choice.get("finish_reason"), str):
            part.finish_reason = reason
        if isinstance(text := choice.get("text"), str):
            part.key = "text"
            part.text.append(text)
        delta = choice.get("delta", choice.get("message"))
        if isinstance(delta, dict):
            _feed_delta(part, delta)

    @property
    def has_text(self) -> bool:
        """Whether anything that counts as a token has been delivered yet."""
        return any(billable_text(choice) for choice in self.choices())

    @property
    def is_finished(self) -> bool:
        """Whether every choice has its finish reason (and there is one)."""
        return bool(self._parts) and all(part.finish_reason is not None for part in self._parts.values())

    def choices(self) -> tuple[Choice, ...]:
        """The answer so far, by index."""
        return tuple(_choice_of(index, part) for index, part in sorted(self._parts.items()))


def _feed_delta(part: _Part, delta: Mapping[str, Any]) -> None:
    if isinstance(content := delta.get("content"), str):
        part.text.append(content)
    # vLLM says "reasoning", other engines "reasoning_content"; some send both with the same text
    reasoning = delta.get("reasoning") or delta.get("reasoning_content")
    if isinstance(reasoning, str):
        part.reasoning.append(reasoning)
    calls = delta.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            _feed_tool_call(part, place, call)


def _feed_tool_call(part: _Part, place: int, call: Mapping[str, Any]) -> None:
    index = call.get("index", place)
    if type(index) is not int or not 0 <= index < MAX_CHOICES:
        raise BadRequest("a tool call's index is out of range", index=str(index)[:20])
    held = part.tool_calls.setdefault(index, {"id": "", "type": "function", "name": "", "arguments": ""})
    if isinstance(call.get("id"), str) and call["id"]:
        held["id"] = call["id"]
    if isinstance(call.get("type"), str) and call["type"]:
        held["type"] = call["type"]
    function = call.get("function")
    for name in ("name", "arguments"):
        if isinstance(function, dict) and isinstance(function.get(name), str):
            held[name] += function[name]


def _choice_of(index: int, part: _Part) -> Choice:
    calls = tuple(
        {
            "id": call["id"],
            "type": call["type"],
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for _, call in sorted(part.tool_calls.items())
    )
    return Choice(index, "".join(part.text), part.finish_reason, part.key, "".join(part.reasoning), calls)


def choices_of_body(body: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The choices of an unstreamed answer: the same as if its message had come as one chunk."""
    assembler = Assembler()
    assembler.feed(body)
    return assembler.choices()


def billable_text(choice: Choice) -> str:
    """The delivered text that the completion count re-encodes: visible reasoning, content, then tool calls."""
    calls = (call["function"] for call in choice.tool_calls)
    text = choice.reasoning + choice.content + "".join(call["name"] + call["arguments"] for call in calls)
    return text.encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair, which no tokenizer takes


def billable_texts(choices: Sequence[Choice]) -> list[str]:
    """One text a choice; the completion count is the sum over them."""
    return [billable_text(choice) for choice in choices]
