"""The engine client against raw sockets: keep-alive, deadlines, cancel, back-pressure, broken HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from node.adapters import http1
from node.adapters.engine.client import EngineSettings, HttpEngine, parse_target
from node.core.errors import BadConfig, EngineFailed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Counts connections and hands each to the test's handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.connections = 0
        self.ended = asyncio.Event()
        self.url = ""
        self.tasks: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            self.ended.set()


@contextlib.asynccontextmanager
async def raw_server(handler: Handler, socket: Path | None = None) -> AsyncIterator[RawServer]:
    server = RawServer(handler)
    if socket is not None:
        listening = await asyncio.start_unix_server(server.serve, socket)
        server.url = f"unix:{socket}"
    else:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        tasks = [task for task in server.tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = (
        int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if b"content-length" in head.lower() else 0
    )
    return head + await reader.readexactly(length)


def engine_for(url: str, **settings: float) -> HttpEngine:
    return HttpEngine(EngineSettings(url, **settings))  # type: ignore[arg-type]


async def fetch(engine: HttpEngine, body: bytes = b"{}") -> tuple[int, bytes]:
    exchange = engine.open("/v1/chat/completions", body)
    status = await exchange.start()
    parts = []
    while block := await exchange.read():
        parts.append(block)
    return status, b"".join(parts)


async def answer_always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


async def test_requests__one_after_the_other__share_a_connection() -> None:
    async with raw_server(answer_always) as server:
        engine = engine_for(server.url)
        for _ in range(5):
            assert await fetch(engine) == (200, b"hello")
        assert server.connections == 1
        engine.close()


async def test_request__over_a_unix_socket__works(tmp_path: Path) -> None:
    async with raw_server(answer_always, tmp_path / "engine.sock") as server:
        engine = engine_for(server.url)
        assert await fetch(engine) == (200, b"hello")
        engine.close()


async def test_request__carries_our_headers_and_no_others() -> None:
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)

    async with raw_server(handler) as server:
        engine = HttpEngine(EngineSettings(server.url + "/prefix", api_key="k"))
        await fetch(engine, b'{"a":1}')
        engine.close()
    head, body = seen[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /prefix/v1/chat/completions HTTP/1.1\r\n")
    assert sorted(line.split(b":")[0] for line in head.split(b"\r\n")[1:]) == [
        b"accept",
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
    ]
    assert body == b'{"a":1}'
    assert "'k'" not in repr(engine.settings)


async def test_kept_connection_closed_by_the_server__the_request_goes_out_again() -> None:
    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()

    async with raw_server(one_each) as server:
        engine = engine_for(server.url)
        for _ in range(3):
            assert await fetch(engine) == (200, b"hello")
        assert server.connections == 3
        engine.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"zz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n",
    ],
)
async def test_broken_or_short_answer__is_an_engine_failure(answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with raw_server(handler) as server:
        engine = engine_for(server.url)
        with pytest.raises(EngineFailed):
            await fetch(engine)
        engine.close()


async def test_answer_without_length__ends_with_the_connection() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    async with raw_server(handler) as server:
        engine = engine_for(server.url)
        assert await fetch(engine) == (200, b"until the end")
        engine.close()


async def test_interim_answer__is_skipped() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)

    async with raw_server(handler) as server:
        engine = engine_for(server.url)
        assert await fetch(engine) == (200, b"hello")
        engine.close()


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def test_silent_engine__first_byte_deadline() -> None:
    async with raw_server(hang) as server:
        engine = engine_for(server.url, first_byte_seconds=0.2)
        with pytest.raises(EngineFailed, match="too long"):
            await fetch(engine)
        await asyncio.wait_for(server.ended.wait(), 2)


async def test_engine_silent_in_the_middle__idle_deadline() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await reader.read()

    async with raw_server(handler) as server:
        engine = engine_for(server.url, idle_seconds=0.2)
        exchange = engine.open("/x", b"{}")
        assert await exchange.start() == 200
        assert await exchange.read() == b"hello"
        with pytest.raises(EngineFailed):
            await exchange.read()


async def test_endless_engine__total_deadline() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(handler) as server:
        engine = engine_for(server.url, total_seconds=0.4)
        with pytest.raises(EngineFailed):
            await fetch(engine)


async def test_cancel__while_waiting__raises_and_closes_the_connection() -> None:
    async with raw_server(hang) as server:
        engine = engine_for(server.url)
        exchange = engine.open("/x", b"{}")
        waiting = asyncio.create_task(exchange.start())
        await asyncio.sleep(0.1)
        exchange.cancel()
        with pytest.raises(EngineFailed):
            await waiting
        await asyncio.wait_for(server.ended.wait(), 2)


async def test_nobody_listens__is_an_engine_failure() -> None:
    engine = engine_for("http://127.0.0.1:9")
    with pytest.raises(EngineFailed):
        await fetch(engine)
    assert not await engine.is_healthy()


async def test_health__200_is_healthy__anything_else_is_not() -> None:
    answers = [OK, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answers.pop(0))

    async with raw_server(handler) as server:
        engine = engine_for(server.url)
        assert await engine.is_healthy()
        assert not await engine.is_healthy()
        engine.close()


async def test_slow_reader__the_engine_is_slowed_not_our_memory() -> None:
    written = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(CHUNKED)
        for _ in range(2_000):
            writer.write(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
            await writer.drain()
            written += 0x8000
        writer.write(b"0\r\n\r\n")

    async with raw_server(handler) as server:
        engine = engine_for(server.url)
        exchange = engine.open("/x", b"{}")
        await exchange.start()
        await asyncio.sleep(0.5)
        connection = exchange._connection
        assert connection is not None
        assert connection._size < http1.HIGH_WATER + 512 * 1024
        assert written < 32 * 1024 * 1024
        size = 0
        while block := await exchange.read():
            size += len(block)
        assert size == 2_000 * 0x8000
        engine.close()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "nonsense", "http://user:pw@host"])
def test_engine_url__that_is_none__is_bad_config(url: str) -> None:
    with pytest.raises(BadConfig):
        parse_target(url)


def test_engine_url__parts() -> None:
    target = parse_target("http://127.0.0.1:8101/node1/")
    assert (target.host, target.port, target.prefix) == ("127.0.0.1", 8101, "/node1")


async def test_metrics_page__shown_missing_or_never_sent__is_text_nothing_or_a_failure() -> None:
    replies = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\nvllm:num_requests_running 1\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nwhat?",
        b"",
    ]

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"GET /metrics ")
        reply = replies.pop(0)
        writer.write(reply)
        await (writer.drain() if reply else asyncio.sleep(30))

    async with raw_server(show) as server:
        engine = HttpEngine(EngineSettings(server.url))
        assert await engine.metrics_page() == "vllm:num_requests_running 1\n"
        assert await engine.metrics_page() == ""
        with pytest.raises(EngineFailed):
            await engine.metrics_page()
        engine.close()
