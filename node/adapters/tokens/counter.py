"""The one billing count of a model: prompt through the chat template, completion re-encoded, no end token.

Never trusts an engine's or a peer's number; the same bytes give the same count on both sides (threat L1).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer

from node.adapters.tokens.template import ChatTemplate
from node.adapters.tokens.words import word_counter_of
from node.core.errors import BadConfig, BadRequest
from node.core.hashing import keccak
from node.core.types import Bytes32

TOKENIZER_FILE, TEMPLATE_FILE = "tokenizer.json", "chat_template.jinja"
MAX_ARTIFACT_BYTES = 32 * 1024 * 1024
"""Artifacts are served and pinned by hash; none needs more (protocol, `Offer`)."""


class HfTokenCounter:
    """ports.TokenCounter over a Hugging Face tokenizer.json and a chat template."""

    def __init__(self, tokenizer_json: bytes, template: bytes) -> None:
        _check_size(tokenizer_json, template)
        # The library would wake a pool of threads for every text, which costs more than counting it.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        except ValueError as exc:
            raise BadConfig(f"the tokenizer does not load: {exc}") from exc
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._words = word_counter_of(tokenizer_json, self._tokenizer)
        self._extra = len(self._tokenizer.encode("", add_special_tokens=True))
        """Tokens that the tokenizer itself puts around a text."""
        self._template = ChatTemplate(template)
        self._hashes = (keccak(tokenizer_json), keccak(template))

    @property
    def tokenizer_hash(self) -> Bytes32:
        """keccak of tokenizer.json."""
        return self._hashes[0]

    @property
    def template_hash(self) -> Bytes32:
        """keccak of the template artifact."""
        return self._hashes[1]

    def count_prompt(self, body: Mapping[str, object]) -> int:
        """Chat: the rendered template, whose special tokens count. Completion: the text with the tokenizer's own."""
        if "messages" in body:
            return self._count(self._template.render(body["messages"]), with_specials=False)
        prompt = body.get("prompt")
        if not isinstance(prompt, str):
            raise BadRequest("prompt must be text", param="prompt")
        return self._count(prompt, with_specials=True)

    def count_completion(self, text: str) -> int:
        """Tokens of delivered text, re-encoded."""
        return self._count(text, with_specials=False) if text else 0

    def _count(self, text: str, *, with_specials: bool) -> int:
        if self._words is not None and text.isascii():
            return self._words.count(text) + (self._extra if with_specials else 0)
        # The fast form skips character offsets, which cost as much again as the encoding itself.
        return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=with_specials)[0])


def load_counter(folder: Path) -> HfTokenCounter:
    """The counter of a folder with tokenizer.json and chat_template.jinja. Raises BadConfig."""
    return HfTokenCounter(_read(folder / TOKENIZER_FILE), _read(folder / TEMPLATE_FILE))


def load_artifacts(folder: Path) -> dict[Bytes32, bytes]:
    """What `GET /v1/artifacts/{hash}` serves for that folder."""
    return {keccak(data): data for data in (_read(folder / TOKENIZER_FILE), _read(folder / TEMPLATE_FILE))}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise BadConfig(f"cannot read {path}: {exc.strerror}") from exc


def _check_size(*artifacts: bytes) -> None:
    for artifact in artifacts:
        if len(artifact) > MAX_ARTIFACT_BYTES:
            raise BadConfig("a tokenizer or template is above 32 MiB", size=len(artifact))
