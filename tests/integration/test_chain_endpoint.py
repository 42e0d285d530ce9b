"""An endpoint's connections, against a real server on loopback."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.adapters.chain.endpoint import Endpoint, EndpointDown

ANSWER = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x1"}).encode()


class Server:
    """Answers `calls_each` calls on a connection, then closes it."""

    def __init__(self, calls_each: int) -> None:
        self.calls_each = calls_each
        self.connections = self.calls = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):  # the endpoint has gone
            for _ in range(self.calls_each):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line
                )
                await reader.readexactly(length)
                self.calls += 1
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
                writer.write(head.encode() + ANSWER)
            await reader.read(1)  # the next call is on its way when we hang up: its sender cannot know
        writer.close()


@asynccontextmanager
async def serving(calls_each: int) -> AsyncIterator[tuple[Server, Endpoint]]:
    served = Server(calls_each)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    endpoint = Endpoint(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 30.0)
    try:
        yield served, endpoint
    finally:
        await endpoint.close()
        server.close()
        for writer in served.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_call__many__share_kept_connections() -> None:
    async with serving(1_000) as (server, endpoint):
        await asyncio.gather(*(endpoint.call("eth_chainId") for _ in range(4)))
        opened = server.connections
        for _ in range(20):
            assert await endpoint.call("eth_chainId") == "0x1"
        assert server.connections == opened <= 4


async def test_call__kept_connection_was_closed_meanwhile__is_asked_once_more() -> None:
    async with serving(1) as (server, endpoint):
        for _ in range(3):
            assert await endpoint.call("eth_chainId") == "0x1"
        assert server.connections == 3


async def test_call__a_sending_whose_connection_was_closed__is_unknown_and_not_repeated() -> None:
    async with serving(1) as (server, endpoint):
        await endpoint.call("eth_chainId")
        with pytest.raises(EndpointDown, match="ServerDisconnected"):
            await endpoint.call("eth_sendRawTransaction", "0x00")
        assert server.calls == 1
