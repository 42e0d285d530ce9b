"""What the stub engine says, and how many tokens it is: a pure function of prompt, seed and tokenizer."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2.sandbox
from tokenizers import Tokenizer

from tests.fakes.words import WORDS


class Speech:
    """Counts prompts and makes answers. Without a tokenizer a token is a word, and a message costs four more."""

    def __init__(self, tokenizer: Path | None = None, template: Path | None = None) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer)) if tokenizer else None
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        self._template = environment.from_string(template.read_text()) if template else None
        self._pool = [word for word in WORDS if self.count(word) == 1 and self.count(f" {word}") == 1]
        if len(self._pool) < 2:
            raise ValueError("this tokenizer has no one-token words to speak with")

    def count(self, text: str) -> int:
        if self._tokenizer is None:
            return len(text.split())
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_messages(self, messages: Sequence[Mapping[str, Any]]) -> int:
        flat = [{**message, "content": flatten(message.get("content"))} for message in messages]
        if self._template is None:
            return sum(self.count(message["content"]) + 4 for message in flat)
        return self.count(self._template.render(messages=flat, add_generation_prompt=True))

    def answer(self, prompt: str, tokens: int) -> list[str]:
        """`tokens` pieces of one token each; joined and counted again they are `tokens` again."""
        state = hashlib.sha256(prompt.encode()).digest()
        pieces: list[str] = []
        for place in range(tokens):
            if place % len(state) == len(state) - 1:
                state = hashlib.sha256(state).digest()
            word = self._pool[(state[place % len(state)] * 7 + place) % len(self._pool)]
            pieces.append(word if place == 0 else f" {word}")
        return pieces


def flatten(content: object) -> str:
    """Message content as text: a string, or a list of text parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
