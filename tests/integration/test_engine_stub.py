"""The stub engine is what most tests trust: it must say what vLLM says. Bodies were compared with a real vLLM 0.32."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import openai
import pytest
from tokenizers import Tokenizer

from tests.fakes import tiny_tokenizer
from tests.fakes.engine_behaviour import Behaviour
from tests.fakes.engine_stub import EngineStub, StubSettings, running_stub

CHAT = "/v1/chat/completions"
HELLO = {"model": "stub", "messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[EngineStub]:
    folder = tiny_tokenizer.build(tmp_path)
    settings = StubSettings(tokenizer=folder / "tokenizer.json", template=folder / "chat_template.jinja")
    async with running_stub(settings) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def ask(session: aiohttp.ClientSession, stub: EngineStub, fault: str = "", **more: object) -> tuple[int, bytes]:
    headers = {"X-Stub": fault}
    async with session.post(stub.base_url + CHAT, json={**HELLO, **more}, headers=headers) as reply:
        return reply.status, await reply.read()


def events(raw: bytes) -> list[dict]:
    lines = [line for line in raw.decode().split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_stub__plain_chat__usage_is_what_a_recount_gives_plus_the_end_token(stub, session, tmp_path):
    status, raw = await ask(session, stub)
    body = json.loads(raw)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = body["choices"][0]["message"]["content"]
    assert status == 200
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == len(tokenizer.encode(text).ids) + 1
    prompt = "<|im_start|>user\nhello there<|im_end|>\n<|im_start|>assistant\n"
    assert body["usage"]["prompt_tokens"] == len(tokenizer.encode(prompt).ids)


async def test_stub__max_tokens_reached__finish_is_length_and_the_count_exact(stub, session):
    body = json.loads((await ask(session, stub, max_tokens=5))[1])
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5


async def test_stub__stream__events_carry_the_plain_text_and_usage_comes_only_when_asked(stub, session):
    plain = json.loads((await ask(session, stub))[1])
    silent = events((await ask(session, stub, stream=True))[1])
    counted = events((await ask(session, stub, stream=True, stream_options={"include_usage": True}))[1])
    text = "".join(event["choices"][0]["delta"]["content"] for event in silent)
    assert text == plain["choices"][0]["message"]["content"]
    assert not any("usage" in event for event in silent)
    assert counted[-1]["choices"] == []
    assert counted[-1]["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"]


async def test_stub__continuous_usage__grows_by_the_tokens_of_each_event(stub, session):
    wish = {"include_usage": True, "continuous_usage_stats": True}
    got = events((await ask(session, stub, "per_event=4", stream=True, max_tokens=10, stream_options=wish))[1])
    assert [event["usage"]["completion_tokens"] for event in got] == [0, 4, 8, 10, 10]


async def test_stub__same_prompt__same_bytes_and_another_seed_another_text(stub, session):
    first, again = await ask(session, stub), await ask(session, stub)
    other = await ask(session, stub, seed=7)
    assert first == again
    assert json.loads(other[1])["choices"] != json.loads(first[1])["choices"]


async def test_stub__queue_full__plain_is_503_but_a_stream_is_200_with_an_error_event(stub, session):
    status, raw = await ask(session, stub, "fault=queue_full")
    assert (status, json.loads(raw)["error"]["code"]) == (503, 503)
    status, raw = await ask(session, stub, "fault=queue_full", stream=True)
    assert status == 200
    assert (await ask(session, stub, "fault=busy", stream=True))[0] == 503
    assert events(raw) == [json.loads((await ask(session, stub, "fault=queue_full"))[1])]


async def test_stub__more_requests_than_places__the_next_is_refused(session):
    async with running_stub(StubSettings(max_running=1, max_queued=2)) as stub:
        slow = [asyncio.create_task(ask(session, stub, "ttft=0.3")) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (await ask(session, stub))[0] == 503
        assert [status for status, _ in await asyncio.gather(*slow)] == [200, 200]
        assert stub.counts["rejected"] == 1


async def test_stub__crash_in_midstream__connection_is_reset(stub, session):
    with pytest.raises(aiohttp.ClientError):
        await ask(session, stub, "fault=crash,after=3", stream=True)
    with pytest.raises(aiohttp.ClientError):
        await ask(session, stub, "fault=crash")


async def test_stub__truncated__ends_inside_an_event_or_body(stub, session):
    _, raw = await ask(session, stub, "fault=truncated,after=3", stream=True)
    assert raw.count(b"\n\n") == 3
    assert not raw.endswith(b"\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads((await ask(session, stub, "fault=truncated"))[1])


async def test_stub__no_done__stream_ends_whole_but_without_done(stub, session):
    _, raw = await ask(session, stub, "fault=no_done", stream=True)
    assert raw.endswith(b"}\n\n")
    assert b'"finish_reason":"stop"' in raw


async def test_stub__error_event_and_garbage__stand_between_good_events_and_done(stub, session):
    _, raw = await ask(session, stub, "fault=error_event,after=3", stream=True)
    assert [("error" in event) for event in events(raw)] == [False, False, False, True]
    _, raw = await ask(session, stub, "fault=garbage,after=3", stream=True)
    assert raw.endswith(b"data: <html>not an engine</html>\n\ndata: [DONE]\n\n")


async def test_stub__extra_text__a_recount_finds_more_than_usage_says(stub, session, tmp_path):
    body = json.loads((await ask(session, stub, "fault=extra_text", max_tokens=4))[1])
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert len(tokenizer.encode(body["choices"][0]["message"]["content"]).ids) > body["usage"]["completion_tokens"]


@pytest.mark.parametrize("fault", ["hang", "hang_headers", "stall"])
@pytest.mark.parametrize("stream", [True, False])
async def test_stub__silent_fault__caller_times_out_and_the_abort_is_counted(stub, session, fault, stream):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(session, stub, f"fault={fault}", stream=stream), 0.2)
    await asyncio.sleep(0.1)
    assert stub.counts["aborted"] == 1
    assert stub.counts["running"] == 0


async def test_stub__usage_faults__say_what_their_name_says(stub, session):
    wrong = {}
    for fault in ("nan_usage", "negative_usage", "huge_usage", "no_usage"):
        wrong[fault] = json.loads((await ask(session, stub, f"fault={fault}", max_tokens=4))[1]).get("usage")
    assert wrong["nan_usage"]["completion_tokens"] != wrong["nan_usage"]["completion_tokens"]
    assert wrong["negative_usage"]["completion_tokens"] == -4
    assert wrong["huge_usage"]["completion_tokens"] == 40
    assert wrong["no_usage"] is None


@pytest.mark.parametrize(
    ("change", "status", "kind", "param"),
    [
        ({"model": "nope"}, 404, "NotFoundError", "model"),
        ({"messages": []}, 400, "BadRequestError", None),
        ({"max_tokens": 0}, 400, "BadRequestError", "max_tokens"),
        ({"temperature": -1}, 400, "BadRequestError", "temperature"),
        ({"temperature": 0, "n": 2}, 400, "BadRequestError", None),
        ({"tools": [{"type": "function"}]}, 400, "BadRequestError", None),
        ({"messages": [{"role": "user", "content": "word " * 3_000}]}, 400, "BadRequestError", "input_tokens"),
    ],
)
async def test_stub__bad_request__has_vllms_status_type_and_param(stub, session, change, status, kind, param):
    got, raw = await ask(session, stub, **change)
    error = json.loads(raw)["error"]
    assert (got, error["type"], error["param"], error["code"]) == (status, kind, param, status)


async def test_stub__bytes_that_are_no_request__are_400_with_the_odd_type(stub, session):
    url = stub.base_url + CHAT
    for data, kind in ((b'{"model":', "application/json"), (b"[1]", "application/json"), (b"{}", "text/plain")):
        async with session.post(url, data=data, headers={"Content-Type": kind}) as reply:
            assert (reply.status, (await reply.json())["error"]["type"]) == (400, "Bad Request")


async def test_stub__outside_the_api__other_error_shapes(stub, session):
    async with session.get(f"{stub.base_url}/v1/nope") as reply:
        assert (reply.status, await reply.json()) == (404, {"detail": "Not Found"})
    async with session.get(stub.base_url + CHAT) as reply:
        assert (reply.status, await reply.json()) == (405, {"detail": "Method Not Allowed"})
    async with running_stub(StubSettings(api_key="k")) as guarded, session.post(guarded.base_url + CHAT) as reply:
        assert (reply.status, await reply.json()) == (401, {"error": "Unauthorized"})


async def test_stub__control_route__orders_the_next_requests_and_tells_what_came(stub, session):
    await session.post(f"{stub.base_url}/control", json={"behaviour": "fault=dead", "times": 1})
    assert [(await ask(session, stub))[0] for _ in range(2)] == [500, 200]
    async with session.get(f"{stub.base_url}/control") as reply:
        told = await reply.json()
    assert told["requests"] == 2
    assert json.loads(told["last"][0]["body"]) == HELLO
    await session.post(f"{stub.base_url}/control", json={"health": 503})
    async with session.get(f"{stub.base_url}/health") as reply:
        assert reply.status == 503


async def test_stub__directive_in_model_or_prompt__survives_a_proxy(stub, session):
    assert (await ask(session, stub, model="stub#fault=status_500"))[0] == 500
    message = {"role": "user", "content": "hi [[stub tokens=3]]"}
    body = json.loads((await ask(session, stub, messages=[message]))[1])
    assert body["usage"]["completion_tokens"] == 4


async def test_stub__metrics__have_vllms_names(stub, session):
    await ask(session, stub, max_tokens=5)
    async with session.get(f"{stub.base_url}/metrics") as reply:
        text = await reply.text()
    assert 'vllm:generation_tokens_total{engine="0",model_name="stub"} 5.0' in text
    assert 'vllm:num_requests_running{engine="0",model_name="stub"} 0.0' in text


async def test_stub__openai_package__reads_it_as_any_server(stub):
    async with openai.AsyncOpenAI(base_url=f"{stub.base_url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.completion_tokens == 17
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(**HELLO | {"model": "nope"})
        answer = await client.completions.create(model="stub", prompt="one two", max_tokens=2, stop=["nothing"])
        assert answer.usage.completion_tokens == 2


def test_behaviour__unknown_names__are_refused():
    with pytest.raises(ValueError, match="unknown fault"):
        Behaviour(fault="explode")
    with pytest.raises(ValueError, match="unknown setting"):
        Behaviour().changed("speed=3")


def test_tiny_tokenizer__built_twice__same_bytes(tmp_path):
    one, two = tiny_tokenizer.build(tmp_path / "a"), tiny_tokenizer.build(tmp_path / "b")
    assert (one / "tokenizer.json").read_bytes() == (two / "tokenizer.json").read_bytes()
