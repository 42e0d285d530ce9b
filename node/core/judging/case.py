"""What is judged: one request and two answers to it, read from the evidence. Trusts no shape it has not checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.core.duels import Vote

MOST_SHOWN = 24_000
"""Characters of one text that a judge is shown; of a longer one the beginning and the end."""
MOST_READ = 10 * MOST_SHOWN
"""Characters of an answer that are read at all: what it was paid for bounds its tokens, not its text."""
MOST_DEEP = 64
"""Levels of a request that a judging engine is sent. Its parser, and ours, give up somewhere."""


@dataclass(frozen=True, slots=True)
class Case:
    """One duel as a judge sees it. `fields` is the request's JSON body; who answered is not said."""

    path: str
    fields: Mapping[str, Any]
    first: str
    second: str

    @property
    def is_chat(self) -> bool:
        """Whether the request has messages."""
        return isinstance(self.fields.get("messages"), list)

    def swapped(self) -> "Case":
        """The same with the answers exchanged."""
        return Case(self.path, self.fields, self.second, self.first)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A vote and what it rests on, in words that may be published."""

    vote: Vote
    rationale: str


def answer_text(choices: object) -> str:
    """The first choice's text; a tool call counts by its JSON. Empty for anything else."""
    if not isinstance(choices, Sequence) or isinstance(choices, str | bytes) or not choices:
        return ""
    first = choices[0]
    if not isinstance(first, Mapping):
        return ""
    text = first.get("content", first.get("text"))
    calls = first.get("tool_calls")
    parts = [text] if isinstance(text, str) else []
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        parts += [str(call) for call in calls]
    return "\n".join(parts)


def question_text(fields: Mapping[str, Any]) -> str:
    """The request in words: its messages by role, or its prompt."""
    messages = fields.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        return "\n\n".join(_said(one) for one in messages if isinstance(one, Mapping))
    prompt = fields.get("prompt")
    return prompt if isinstance(prompt, str) else ""


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, Sequence) and not isinstance(content, str):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    return f"{message.get('role', '?')}: {content if isinstance(content, str) else ''}"


def shown(text: str, most: int = MOST_SHOWN) -> str:
    """The text, or its two ends around a mark: an answer's end is where its result stands."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def clean(text: str) -> str:
    """Text that every encoder takes: half a surrogate pair, which JSON may hold, is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain(value: object, levels: int = MOST_DEEP) -> object:
    """A stranger's JSON as every encoder and parser takes it: texts clean, large integers in words, nothing deep."""
    match value:
        case str():
            return clean(value)
        case int() if not -(1 << 63) <= value < 1 << 63:
            return str(value)
        case Mapping():
            return {clean(str(key)): plain(one, levels - 1) for key, one in value.items()} if levels else None
        case list() | tuple():
            return [plain(one, levels - 1) for one in value] if levels else None
    return value
