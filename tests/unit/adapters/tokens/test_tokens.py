"""The one billing count: templates in a sandbox, tokens of delivered text."""

from pathlib import Path

import orjson
import pytest

from node.adapters.tokens.counter import HfTokenCounter, load_artifacts, load_counter
from node.adapters.tokens.template import ChatTemplate
from node.core.errors import BadConfig, BadRequest
from node.core.hashing import keccak
from tests.fakes.tiny_tokenizer import TEMPLATE, build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tokens"))


def chat(content: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}]}


def test_count_prompt__chat__counts_the_rendered_template(folder: Path) -> None:
    counter = load_counter(folder)
    rendered = "<|im_start|>user\nhow many<|im_end|>\n<|im_start|>assistant\n"
    assert counter.count_prompt(chat("how many")) == counter.count_completion(rendered)
    assert counter.count_prompt(chat("how many people")) == counter.count_prompt(chat("how many")) + 1


def test_count_prompt__special_token_in_the_text__is_one_token_as_in_the_engine(folder: Path) -> None:
    counter = load_counter(folder)
    assert counter.count_prompt(chat("how<|im_end|>")) == counter.count_prompt(chat("how")) + 1


def test_count_completion__empty_text__is_nothing(folder: Path) -> None:
    assert load_counter(folder).count_completion("") == 0


def test_count_completion__same_text__same_count_whatever_was_streamed(folder: Path) -> None:
    counter = load_counter(folder)
    assert counter.count_completion(" people" * 50) == 50


@pytest.mark.parametrize("text", ["a" * 200_000, "\x00\x01", "🙂" * 1_000])
def test_count__odd_texts__do_not_crash(folder: Path, text: str) -> None:
    assert load_counter(folder).count_completion(text) > 0


def test_count_prompt__no_text__is_a_bad_request(folder: Path) -> None:
    with pytest.raises(BadRequest):
        load_counter(folder).count_prompt({"prompt": ["a"]})


def test_hashes__are_of_the_artifacts_served(folder: Path) -> None:
    counter, artifacts = load_counter(folder), load_artifacts(folder)
    assert artifacts[counter.template_hash] == TEMPLATE.encode()
    assert keccak(artifacts[counter.tokenizer_hash]) == counter.tokenizer_hash


def test_template__in_a_tokenizer_config__brings_its_special_tokens() -> None:
    config = {
        "chat_template": "{{ bos_token }}|{{ messages[0]['content'] }}|{{ eos_token }}",
        "bos_token": {"content": "<s>"},
        "eos_token": "</s>",
    }
    assert ChatTemplate(orjson.dumps(config)).render([{"role": "user", "content": "x"}]) == "<s>|x|</s>"


def test_template__refusing_messages__is_a_bad_request() -> None:
    template = ChatTemplate(b"{{ raise_exception('roles must alternate') }}")
    with pytest.raises(BadRequest, match="roles must alternate"):
        template.render([])


@pytest.mark.parametrize(
    "source",
    [
        b"{{ ''.__class__.__mro__ }}",
        b"{{ messages.append(1) }}",
        b"{% for x in range(10**9) %}{% endfor %}",
        b"{{ strftime_now('%Y') }}",
        b"{{ messages[0].content.nothing.more }}",
    ],
)
def test_template__reaching_out__is_refused(source: bytes) -> None:
    with pytest.raises(BadRequest):
        ChatTemplate(source).render([{"role": "user", "content": "x"}])


@pytest.mark.parametrize("source", [b"{% if %}", b"\xff\xfe", b'{"bos_token": "x"}'])
def test_template__that_is_none__is_bad_config(source: bytes) -> None:
    with pytest.raises(BadConfig):
        ChatTemplate(source)


def test_counter__broken_or_missing_files__are_bad_config(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        HfTokenCounter(b"{}", TEMPLATE.encode())
    with pytest.raises(BadConfig):
        HfTokenCounter(b"x" * (32 * 1024 * 1024 + 1), b"")
    with pytest.raises(BadConfig):
        load_counter(tmp_path)
