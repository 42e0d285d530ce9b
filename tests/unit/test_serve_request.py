"""A body as the node understands it, and what of it the engine is told."""

import orjson
import pytest

from node.core.errors import BadRequest, NotOffered
from node.core.prompt import CHAT, COMPLETION, MAX_MESSAGES
from node.services.request import DROPPED, NEUTRAL, PASSED, Request, parse_request

MESSAGES = [{"role": "user", "content": "hi"}]


def parse(path: str = CHAT, **fields: object) -> Request:
    base: dict[str, object] = {"model": "m"} | ({"messages": MESSAGES} if path == CHAT else {"prompt": "hi"})
    return parse_request(path, orjson.dumps({**base, **fields}))


def upstream(request: Request) -> dict:
    return orjson.loads(request.to_upstream("engine-name", 9, {}))


def test_to_upstream__plain__has_our_model_and_limit() -> None:
    assert upstream(parse(temperature=0.5, max_tokens=100)) == {
        "model": "engine-name",
        "messages": MESSAGES,
        "temperature": 0.5,
        "max_tokens": 9,
    }


def test_to_upstream__stream__always_asks_for_usage() -> None:
    sent = upstream(parse(stream=True, stream_options={"continuous_usage_stats": True}))
    assert sent["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert not parse(stream=True).wants_usage


def test_limits__both_names__take_the_smaller() -> None:
    assert parse(max_tokens=5, max_completion_tokens=3).max_tokens == 3
    assert parse().max_tokens is None


@pytest.mark.parametrize("name", sorted(DROPPED))
def test_dropped__never_reach_the_engine(name: str) -> None:
    assert name not in upstream(parse(**{name: "x"}))


@pytest.mark.parametrize(("name", "values"), sorted(NEUTRAL.items()))
def test_neutral__values_that_change_nothing__pass_and_are_not_sent(name: str, values: tuple) -> None:
    for value in (*values, None):
        assert name not in upstream(parse(**{name: value}))


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_neutral__other_values__are_refused_by_name(name: str) -> None:
    with pytest.raises(NotOffered) as refused:
        parse(**{name: 17})
    assert refused.value.facts["param"] == name


def test_neutral__true_is_not_one() -> None:
    with pytest.raises(NotOffered):
        parse(n=True)


@pytest.mark.parametrize("name", sorted(PASSED - {"logprobs", "top_logprobs"}))
def test_passed__reach_the_engine_unchanged(name: str) -> None:
    assert upstream(parse(**{name: [1, "x"]}))[name] == [1, "x"]


def test_null__is_the_same_as_absent() -> None:
    assert "temperature" not in upstream(parse(temperature=None, unheard_of=None))


def test_message_name__is_not_part_of_the_prompt() -> None:
    request = parse(messages=[{"role": "user", "content": "hi", "name": "alice"}])
    assert upstream(request)["messages"] == MESSAGES


def test_completion__text_prompt__is_kept() -> None:
    assert upstream(parse(COMPLETION))["prompt"] == "hi"


@pytest.mark.parametrize("prompt", ["", 5, None])
def test_completion__no_text__is_bad(prompt: object) -> None:
    with pytest.raises(BadRequest):
        parse(COMPLETION, prompt=prompt)


def test_messages__too_many__are_bad() -> None:
    with pytest.raises(BadRequest):
        parse(messages=MESSAGES * (MAX_MESSAGES + 1))


@pytest.mark.parametrize("model", ["", "a\nb", "x" * 300, None])
def test_model__that_is_no_name__is_bad(model: object) -> None:
    with pytest.raises(BadRequest):
        parse(model=model)


def test_deep_json__is_refused_not_a_crash() -> None:
    with pytest.raises(BadRequest):
        parse_request(CHAT, b"[" * 100_000)
