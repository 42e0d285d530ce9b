"""The canonical form of an answer: what both sides hash, however the bytes were streamed."""

import json
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Any

from node.core.hashing import keccak
from node.core.records import record
from node.core.types import Bytes32


@record
class Choice:
    """One choice of an answer. `content_key` is "content" for chat and "text" for plain completions."""

    index: int
    content: str
    finish_reason: str | None
    content_key: str = "content"
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()

    def to_canonical(self) -> dict[str, Any]:
        """The members that count, and no others."""
        out: dict[str, Any] = {
            "index": self.index,
            self.content_key: self.content,
            "finish_reason": self.finish_reason,
        }
        if self.reasoning:
            out["reasoning"] = self.reasoning
        if self.tool_calls:
            out["tool_calls"] = list(self.tool_calls)
        return out


def canonical_json(choices: Iterable[Choice]) -> bytes:
    """Sorted keys, no white space, UTF-8; lone surrogates are kept as escapes so that every text has one encoding."""
    rows = ",".join(_row(choice) for choice in sorted(choices, key=lambda choice: choice.index))
    return f"[{rows}]".encode("utf-8", "backslashreplace")


def _row(choice: Choice) -> str:
    """By hand for the one shape that nearly every answer has: the encoder takes ten times as long."""
    is_usual = choice.content_key == "content" and type(choice.index) is int
    if choice.reasoning or choice.tool_calls or not is_usual:
        return json.dumps(choice.to_canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    reason = "null" if choice.finish_reason is None else encode_basestring(choice.finish_reason)
    return f'{{"content":{encode_basestring(choice.content)},"finish_reason":{reason},"index":{choice.index:d}}}'


def response_hash(salt: Bytes32, choices: Iterable[Choice]) -> Bytes32:
    """keccak(salt || canonical JSON of choices)."""
    return keccak(salt + canonical_json(choices))
