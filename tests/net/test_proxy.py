"""The proxies of net-test: a cut link passes nothing between two nodes, and everything between the others."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.net.links import whose
from tests.net.proxy import Link, Proxy

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
CALLER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60) as there:
    sys.stdin.readline()
    there.sendall(b"x")
    print(there.recv(1).decode(), flush=True)
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(1))
    await writer.drain()
    writer.close()


def start_caller(port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", CALLER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@asynccontextmanager
async def echoing(names: dict[str, int]) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1], lambda ports: whose(ports, names))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


async def said(port: int, seconds: float) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"y")
        async with asyncio.timeout(seconds):
            return await reader.read(1)
    except TimeoutError:
        return b""
    finally:
        writer.close()


async def test_cut__one_link__passes_nothing_of_that_process_until_mended_and_all_of_others() -> None:
    names = {"me": os.getpid()}
    async with echoing(names) as proxy:
        other = start_caller(proxy.port)
        names["other"] = other.pid
        try:
            assert await said(proxy.port, 60.0) == b"y"
            proxy.cut("me")
            assert await said(proxy.port, 0.3) == b""
            answered = await asyncio.to_thread(other.communicate, b"\n", 120)
            assert answered[0].strip() == b"x"
            proxy.mend("me")
            assert await said(proxy.port, 60.0) == b"y"
            proxy.set(Link.SILENT)
            assert await said(proxy.port, 0.3) == b""
        finally:
            other.kill()
            other.wait()
