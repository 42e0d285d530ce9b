"""Counting by words equals the library's own count, on any ASCII text, for the tokenizers it claims to know."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from node.adapters.tokens.words import WordCounter, word_counter_of
from tests.fakes.tiny_tokenizer import build
from tests.fakes.words import WORDS

ASCII = st.characters(min_codepoint=0, max_codepoint=127)
PIECES = st.sampled_from(
    [
        *WORDS[:20],
        " ",
        "  ",
        "\n",
        "\t",
        "\r\n",
        "'s",
        "'ll",
        "'S",
        "12",
        "3",
        ".",
        ", ",
        "--",
        "<|im_start|>",
        "<|im_",
        "|>",
        "user\n",
        "\x1c",
    ]
)
TEXTS = st.one_of(
    st.text(ASCII, max_size=60),
    st.lists(PIECES, max_size=30).map("".join),
    st.lists(PIECES, min_size=8, max_size=30).map(" ".join),
    st.lists(st.sampled_from(["user\n", " ", "", "12", "it's", ",", "\n"]), min_size=10, max_size=30).map(" ".join),
)


def without_digits(document: dict) -> dict:
    """The same tokenizer without the splitter that isolates digits."""
    return {**document, "pre_tokenizer": document["pre_tokenizer"]["pretokenizers"][-1]}


def load(document: dict) -> tuple[WordCounter | None, Tokenizer]:
    raw = json.dumps(document).encode()
    tokenizer = Tokenizer.from_buffer(raw)
    return word_counter_of(raw, tokenizer), tokenizer


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return json.loads((build(tmp_path_factory.mktemp("tokens")) / "tokenizer.json").read_text())


@pytest.mark.parametrize("kind", ["digits", "plain"])
def test_count__any_ascii_text__equals_the_library(document: dict, kind: str) -> None:
    counter, tokenizer = load(document if kind == "digits" else without_digits(document))
    assert counter is not None

    @settings(max_examples=800, deadline=None)
    @given(TEXTS)
    def agree(text: str) -> None:
        expected = len(tokenizer.encode(text, add_special_tokens=False))
        assert counter.count(text) == expected
        assert counter.count(text) == expected, "the second count is of remembered chunks"

    agree()


def test_count__long_prose__equals_the_library(document: dict) -> None:
    counter, tokenizer = load(document)
    assert counter is not None
    dice = random.Random(5)
    text = " ".join(dice.choice([*WORDS, "unheard-of", "x" * 100, "42", "it's"]) for _ in range(5_000))
    assert counter.count(text) == len(tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": None},
    ],
)
def test_other_kinds__are_left_to_the_library(document: dict, change: dict) -> None:
    assert load({**document, **change})[0] is None


def test_added_token_that_eats_white_space__is_left_to_the_library(document: dict) -> None:
    added = [{**token, "lstrip": True} for token in document["added_tokens"]]
    assert load({**document, "added_tokens": added})[0] is None


def test_words__beyond_the_limit__are_forgotten_not_miscounted(document: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.adapters.tokens.words.MAX_WORDS", 10)
    monkeypatch.setattr("node.adapters.tokens.words.MAX_CHUNKS", 10)
    counter, tokenizer = load(document)
    assert counter is not None
    for number in range(50):
        text = f"one more {number} time-{number} zq{number * 'q'}"
        assert counter.count(text) == len(tokenizer.encode(text, add_special_tokens=False))
    assert len(counter._counts) < 40
    assert max(map(len, (counter._texts, counter._heads, counter._tails))) < 20


def test_real_model__if_it_is_there__agrees_too() -> None:
    found = sorted(Path.home().glob(".cache/wwwserve/models/*/tokenizer.json"))
    if not found:
        pytest.skip("no model in the cache")
    counter, tokenizer = load(json.loads(found[0].read_text()))
    assert counter is not None

    @settings(max_examples=200, deadline=None)
    @given(TEXTS)
    def agree(text: str) -> None:
        expected = len(tokenizer.encode(text, add_special_tokens=False))
        assert counter.count(text) == expected
        assert counter.count(text) == expected, "the second count is of remembered chunks"

    agree()
