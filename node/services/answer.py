"""What the engine delivered, put together from passed-on bytes: choices for the hash, texts for the count, usage.

Never shapes what the caller gets and never trusts a number that is not a whole one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from node.core.choices import Choice
from node.services.sse import parse_event

COMPACT_BYTES = 256 * 1024
"""Raw bytes of a long stream are turned into texts at this size, so that memory grows with the text, not its frame."""


@dataclass(slots=True)
class _Pieces:
    """One choice under construction."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str | None = None


class Answer:
    """Collects raw whole events (or one plain body) and reads them late, in as few parses as possible."""

    def __init__(self, *, is_chat: bool) -> None:
        self._is_chat = is_chat
        self._raw: list[bytes] = []
        self._raw_size = 0
        self._pieces: dict[int, _Pieces] = {}
        self.usage: Mapping[str, object] | None = None

    def add_events(self, block: bytes) -> None:
        """Whole events, as they were passed on."""
        self._raw.append(block)
        self._raw_size += len(block)
        if self._raw_size > COMPACT_BYTES:
            self._compact()

    def add_plain(self, fields: Mapping[str, Any]) -> None:
        """A whole plain body."""
        self._take_usage(fields)
        self._take(fields.get("choices"), "message")

    def choices(self) -> list[Choice]:
        """The choices so far, for the canonical form."""
        self._compact()
        key = "content" if self._is_chat else "text"
        return [
            Choice(index, "".join(one.content), one.finish_reason, key, "".join(one.reasoning))
            for index, one in sorted(self._pieces.items())
        ]

    def _compact(self) -> None:
        block, self._raw, self._raw_size = b"".join(self._raw), [], 0
        for fields in parse_events(block):
            self._take(fields.get("choices"), "delta")
            if fields.get("usage") is not None:
                self._take_usage(fields)

    def _take_usage(self, fields: Mapping[str, Any]) -> None:
        usage = fields.get("usage")
        self.usage = usage if isinstance(usage, dict) else self.usage

    def _take(self, choices: object, member: str) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and isinstance(choice.get("index"), int):
                self._take_choice(choice, member)

    def _take_choice(self, choice: Mapping[str, Any], member: str) -> None:
        pieces = self._pieces.setdefault(choice["index"], _Pieces())
        part = choice.get(member) if self._is_chat else choice
        if isinstance(part, dict):
            _append(pieces.content, part.get("content" if self._is_chat else "text"))
            _append(pieces.reasoning, part.get("reasoning") or part.get("reasoning_content"))
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            pieces.finish_reason = reason


def _append(pieces: list[str], text: object) -> None:
    if isinstance(text, str) and text:
        pieces.append(text)


def parse_events(block: bytes) -> Iterable[Mapping[str, Any]]:
    """The JSON objects of whole events. One parse for a regular block; line by line when it holds anything else."""
    if not block:
        return []
    if block.startswith(b"data: "):
        try:
            events = orjson.loads(b"[" + block[6:].rstrip().replace(b"\n\ndata: ", b",") + b"]")
        except orjson.JSONDecodeError:
            events = None
        if events is not None:
            return [event for event in events if isinstance(event, dict)]
    return [fields for event in block.split(b"\n\n") if (fields := parse_event(event.strip())) is not None]


def usage_count(usage: Mapping[str, object] | None, name: str) -> int | None:
    """A whole, non-negative number of the engine's usage; None for anything else."""
    value = usage.get(name) if usage else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
