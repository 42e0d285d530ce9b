"""A real vLLM: the supervisor runs it, the stub speaks as it does, the official package understands it."""

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import aiohttp
import openai
import pytest

from node.adapters.engine.supervisor import EngineSupervisor
from node.core.hashing import keccak
from scripts.setup import models
from scripts.setup.cache import cache_root
from tests.fakes.engine_behaviour import Behaviour
from tests.fakes.engine_stub import StubSettings, running_stub
from tests.integration.engine_fixtures import installed_spec, serving

pytestmark = [pytest.mark.real_vllm, pytest.mark.timeout(900)]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
HELLO = {"model": "tiny-random", "messages": MESSAGES, "temperature": 0, "max_tokens": 3, "ignore_eos": True}
LONG = HELLO | {"max_tokens": 1500}
USAGE = {"include_usage": True, "continuous_usage_stats": True}


async def test_real__openai_package__streams_and_counts(real_tiny_engine):
    async with openai.AsyncOpenAI(base_url=f"{real_tiny_engine.base_url}/v1", api_key="none") as client:
        wish = {"model": "tiny-random", "messages": MESSAGES, "max_tokens": 12, "extra_body": {"ignore_eos": True}}
        stream = await client.chat.completions.create(**wish, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.completion_tokens == 12
        assert chunks[-1].usage.prompt_tokens == 37
        answer = await client.chat.completions.create(**wish)
        assert answer.choices[0].finish_reason == "length"


REQUESTS = {
    "chat": (CHAT, HELLO),
    "chat stream": (CHAT, HELLO | {"stream": True, "stream_options": USAGE}),
    "chat stream, no usage": (CHAT, HELLO | {"stream": True}),
    "text": (TEXT, {"model": "tiny-random", "prompt": "one two", "max_tokens": 3, "ignore_eos": True}),
    "text stream": (TEXT, {"model": "tiny-random", "prompt": "one two", "max_tokens": 2, "stream": True}),
    "unknown model": (CHAT, HELLO | {"model": "nope"}),
    "no messages": (CHAT, {"model": "tiny-random"}),
    "empty messages": (CHAT, HELLO | {"messages": []}),
    "cold": (CHAT, HELLO | {"temperature": -1}),
    "no tokens": (CHAT, HELLO | {"max_tokens": 0}),
    "too long": (CHAT, HELLO | {"messages": [{"role": "user", "content": "word " * 3000}]}),
    "many cold": (CHAT, HELLO | {"n": 2}),
    "tools": (CHAT, HELLO | {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
    "a list": (CHAT, [1]),
}


async def read(base_url: str, path: str, body: object) -> tuple[int, str, list[object]]:
    """Status, content type, and what was said as JSON values: one body, or the events."""
    async with aiohttp.ClientSession() as session, session.post(base_url + path, json=body) as reply:
        raw = (await reply.read()).decode()
        if reply.content_type != "text/event-stream":
            return reply.status, reply.content_type, [json.loads(raw)]
        parts = [part.removeprefix("data: ") for part in raw.split("\n\n") if part]
        assert parts.pop() == "[DONE]"
        return reply.status, reply.content_type, [json.loads(part) for part in parts]


def shape(value: object) -> object:
    """Names, order and types; errors also in their words, for a client may show them."""
    if isinstance(value, dict):
        if set(value) == {"error"} and value["error"]["type"] != "Bad Request":
            return value
        return [(name, shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


@pytest.mark.parametrize("name", REQUESTS)
async def test_real__same_request_to_the_stub__same_shape(real_tiny_engine, name):
    path, body = REQUESTS[name]
    tokenizer, template = (real_tiny_engine.spec.model / file for file in ("tokenizer.json", "chat_template.jinja"))
    settings = StubSettings("tiny-random", tokenizer=tokenizer, template=template, behaviour=Behaviour(tokens=400))
    real = await read(real_tiny_engine.base_url, path, body)
    async with running_stub(settings) as stub:
        fake = await read(stub.base_url, path, body)
    assert fake[:2] == real[:2]
    if "stream" in name:  # a token of a random model may be half a letter and make no event, so compare the ends
        assert shape(fake[2][0]) == shape(real[2][0])
        assert shape(fake[2][-1]) == shape(real[2][-1])
        return
    assert shape(fake[2]) == shape(real[2])


async def test_real__queue_full_on_arrival__stream_and_plain_get_the_stubs_503(real_tiny_engine):
    url = real_tiny_engine.base_url + CHAT
    async with aiohttp.ClientSession() as session:
        held = [await session.post(url, json=LONG | {"stream": True}) for _ in range(4)]
        real = [await read(real_tiny_engine.base_url, CHAT, HELLO | {"stream": stream}) for stream in (True, False)]
        for reply in held:
            reply.close()
    async with running_stub(StubSettings("tiny-random", behaviour=Behaviour(fault="busy"))) as stub:
        assert real == [await read(stub.base_url, CHAT, HELLO | {"stream": stream}) for stream in (True, False)]


async def test_real__queue_full_in_a_burst__each_refusal_is_one_the_stub_has(real_tiny_engine):
    await _until_idle(real_tiny_engine)
    body = HELLO | {"stream": True, "max_tokens": 600}
    real = await asyncio.gather(*[read(real_tiny_engine.base_url, CHAT, body) for _ in range(10)])
    fakes = []
    for fault in ("busy", "queue_full"):  # found out before the head was sent, or after
        async with running_stub(StubSettings("tiny-random", behaviour=Behaviour(fault=fault))) as stub:
            fakes.append(await read(stub.base_url, CHAT, body))
    refused = [reply for reply in real if "error" in reply[2][0]]
    assert len(refused) == 6
    assert all(reply in fakes for reply in refused)


async def test_real__caller_hangs_up__place_is_free_again(real_tiny_engine):
    async with aiohttp.ClientSession() as session:
        reply = await session.post(real_tiny_engine.base_url + CHAT, json=LONG | {"stream": True})
        await reply.content.readline()
        assert await _requests_inside(session, real_tiny_engine) == 1
        reply.close()
    await _until_idle(real_tiny_engine)


async def _until_idle(engine: EngineSupervisor) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while await _requests_inside(session, engine):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def _requests_inside(session: aiohttp.ClientSession, engine: EngineSupervisor) -> float:
    async with session.get(f"{engine.base_url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    names = ("vllm:num_requests_running{", "vllm:num_requests_waiting{")
    return sum(float(line.split()[-1]) for line in lines if line.startswith(names))


def processes_in(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_real__api_server_killed__restarted_whole_and_drained_at_the_end():
    with serving(replace(installed_spec("tiny-random"), kv_cache_bytes=64 * 2**20)) as engine:
        folder = engine._engine.folder
        members = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in processes_in(folder)}
        leader = next(pid for pid, words in members.items() if b"serve" in words and b"-I" not in words)
        os.kill(leader, signal.SIGKILL)
        asyncio.run(_until_restarted(engine))
        assert processes_in(folder) == []
        answer = asyncio.run(_ask_and_stop(engine))
        assert answer[2][-1]["usage"]["completion_tokens"] == 400
        assert engine._engine is None


async def _until_restarted(engine: EngineSupervisor) -> None:
    async with asyncio.timeout(400):
        while engine.restarts < 1 or not engine.is_accepting:  # noqa: ASYNC110 - another loop's state
            await asyncio.sleep(0.2)


async def _ask_and_stop(engine: EngineSupervisor) -> tuple[int, str, list]:
    body = HELLO | {"max_tokens": 400, "stream": True, "stream_options": USAGE}
    asked = asyncio.create_task(read(engine.base_url, CHAT, body))
    await asyncio.sleep(1)
    loop = engine._watch.get_loop()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(engine.stop(), loop))
    return await asked


def test_installed_model__its_files__have_the_hashes_that_the_market_names():
    folder = installed_spec("base").model
    for name, wanted in (("tokenizer.json", models.TOKENIZER_KECCAK), ("chat_template.jinja", models.TEMPLATE_KECCAK)):
        assert "0x" + keccak((folder / name).read_bytes()).hex() == wanted
    models.verify_model(models.model_place(cache_root(), "base"))
