"""Counting by remembered words: exact and some twenty times cheaper, for byte-level BPE tokenizers and ASCII text.

Such a tokenizer cuts text at its added tokens, then into words by one known pattern, and merges within a word only. So
a text has as many tokens as its words have, and a word's number never changes. Everything else (other pre-tokenizers,
normalisers, non-ASCII text, very long words) is left to the library; so is a tokenizer that fails the check at start.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson
from tokenizers import Tokenizer

MAX_WORDS = 200_000
"""Remembered words (about 20 MB); all are forgotten when there are more."""
MAX_CHUNKS = 50_000
"""The same for each kind of longer piece."""
SHORT = 32
"""Texts up to this length are remembered whole."""
MAX_WORD_LENGTH = 64
"""Longer ones are noise or an attack: counted, not remembered."""
_PLAIN = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
"""The byte-level pattern for ASCII."""
_DIGITS = r"[0-9]|'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s+(?![^\s0-9])|\s+"
"""The same behind a splitter that isolates every digit: white space before a digit ends there as at the text's end."""
_PROBES = (
    "",
    " ",
    "a",
    "Hello, world! It's 12 o'clock and they'll say we've got 3.50 left.",
    "  two  spaces   and\ttabs\n\nand lines \r\n ",
    "x1 22  333   4444\n5 a  1",
    "def f(x):\n    return {'k': [x**2 for _ in range(10)]}  # it'S don't",
    "\x00\x07\x1b\x1c\x1f\x7f \x0b\x0c",
    "'s'S 's  's1'd",
)
log = logging.getLogger(__name__)


class WordCounter:
    """Token counts of ASCII texts."""

    def __init__(self, tokenizer: Tokenizer, pattern: str, added: list[str]) -> None:
        self._tokenizer = tokenizer
        self._words = re.compile(pattern, re.ASCII)
        # Longest first: the library takes the leftmost, then the longest added token.
        alternatives = "|".join(re.escape(text) for text in sorted(added, key=len, reverse=True))
        self._added = re.compile(f"({alternatives})") if added else None
        self._starts = {text[0] for text in added}
        self._counts: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        """Tokens of short texts: what a chat template puts between the messages."""
        self._heads: dict[str, int] = {}
        """Tokens of a chunk at the start of a text; a chunk is what stands between two single spaces."""
        self._tails: dict[str, int] = {}
        """Tokens of a chunk with the space before it."""

    def count(self, text: str) -> int:
        """Tokens of an ASCII text, added tokens among them recognised."""
        if self._added is None or not any(start in text for start in self._starts):
            return self._count(text)
        texts = self._added.split(text)  # every other one is an added token
        return len(texts) // 2 + sum(map(self._count, texts[::2]))

    def _count(self, text: str) -> int:
        if len(text) > SHORT:
            return self._count_chunks(text)
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._count_words(text)
            _limit(self._texts)
        return known

    def _count_chunks(self, text: str) -> int:
        """No word reaches over a single space between two other characters: chunks may be counted one by one."""
        head, *tails = text.split(" ")
        if tails and head.endswith("\n"):  # as in "user\n Hello": that space ends a longer run
            head = f"{head} {tails.pop(0)}"
        for _ in range(2):
            try:
                return self._heads[head] + sum(map(self._tails.__getitem__, tails))
            except KeyError:
                if not self._learn_chunks(head, tails):
                    break
        return self._count_words(text)  # also when another thread has just forgotten what was learnt

    def _learn_chunks(self, head: str, tails: list[str]) -> bool:
        """Whether all chunks are remembered now; never one that a run of white space enters or leaves.

        What follows such a run decides where it is cut. Very long chunks are noise or an attack.
        """
        if len(head) > MAX_WORD_LENGTH or head[-1:].isspace() or len(tails) > MAX_CHUNKS:
            return False
        if len(self._tails) + len(tails) > MAX_CHUNKS:
            self._tails.clear()
        for tail in tails:
            if tail not in self._tails:
                if not 0 < len(tail) <= MAX_WORD_LENGTH or tail[0].isspace() or tail[-1].isspace():
                    return False
                self._tails[tail] = self._count_words(f" {tail}")
        _limit(self._heads)
        self._heads[head] = self._count_words(head)
        return True

    def _count_words(self, text: str) -> int:
        words = self._words.findall(text)
        try:
            return sum(map(self._counts.__getitem__, words))
        except KeyError:
            self._learn(words)
        return sum(self._counts.get(word) or self._ask([word])[0] for word in words)

    def _learn(self, words: list[str]) -> None:
        if len(self._counts) > MAX_WORDS:
            self._counts.clear()
        new = [word for word in dict.fromkeys(words) if word not in self._counts and len(word) <= MAX_WORD_LENGTH]
        self._counts.update(zip(new, self._ask(new), strict=True))

    def _ask(self, words: list[str]) -> list[int]:
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(words, add_special_tokens=False)]


def _limit(known: dict[str, int]) -> None:
    if len(known) > MAX_CHUNKS:
        known.clear()


def word_counter_of(tokenizer_json: bytes, tokenizer: Tokenizer) -> WordCounter | None:
    """A counter that agrees with the library on every probe; None for a tokenizer of another kind."""
    document = orjson.loads(tokenizer_json)
    pattern, added = _pattern_of(document), _added_of(document)
    if pattern is None or added is None:
        return None
    counter = WordCounter(tokenizer, pattern, added)
    for probe in (*_PROBES, *(f"a {text}{text} b" for text in added[:50])):
        if counter.count(probe) != len(tokenizer.encode(probe, add_special_tokens=False)):
            log.warning("this tokenizer is counted by the library alone: words do not add up")
            return None
    return counter


def _pattern_of(document: Mapping[str, Any]) -> str | None:
    model = document.get("model") or {}
    if document.get("normalizer") is not None or model.get("type") != "BPE" or model.get("dropout"):
        return None
    splitter = document.get("pre_tokenizer") or {}
    parts = splitter.get("pretokenizers", []) if splitter.get("type") == "Sequence" else [splitter]
    kinds = [part.get("type") for part in parts]
    level = parts[-1] if parts else {}
    if level.get("type") != "ByteLevel" or level.get("add_prefix_space") or not level.get("use_regex", True):
        return None
    if kinds == ["ByteLevel"]:
        return _PLAIN
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits"):
        return _DIGITS
    return None


def _added_of(document: Mapping[str, Any]) -> list[str] | None:
    """The added tokens; None when one of them takes neighbouring white space with it or looks for word borders."""
    added = document.get("added_tokens") or []
    if any(token.get("lstrip") or token.get("rstrip") or token.get("single_word") for token in added):
        return None
    return [token["content"] for token in added if token.get("content")]
