"""The canonical form of an answer: what both sides hash, however the bytes were streamed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from node.core.hashing import keccak
from node.core.types import Bytes32


@dataclass(frozen=True, slots=True)
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
    rows = [choice.to_canonical() for choice in sorted(choices, key=lambda choice: choice.index)]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def response_hash(salt: Bytes32, choices: Iterable[Choice]) -> Bytes32:
    """keccak(salt || canonical JSON of choices)."""
    return keccak(salt + canonical_json(choices))
