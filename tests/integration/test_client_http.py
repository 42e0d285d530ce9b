"""The two HTTP transports: whether a request may have arrived, and what a guarded one never connects to."""

import asyncio

import pytest
from aiohttp import web

from node.client.effects import Fetch, NoReply, Open
from node.client.over_aiohttp import AiohttpTransport
from node.client.over_httpx import HttpxSyncTransport, HttpxTransport

TRANSPORTS = {"aiohttp": lambda: AiohttpTransport(guard=False), "httpx": HttpxTransport}


class Server:
    """Answers, redirects, hangs up, or never ends."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.aborted = 0

    async def start(self) -> "Server":
        app = web.Application()
        app.router.add_route("*", "/{name}", self.handle)
        self.runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.hits.append(name)
        if name == "redirect":
            raise web.HTTPFound("/target")
        if name == "drop":
            request.transport.close()
            return web.Response()
        if name == "big":
            return web.Response(body=b"x" * 5000)
        if name == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(b"data: x\n\n")
                    await asyncio.sleep(0.01)
            except (ConnectionError, asyncio.CancelledError):
                self.aborted += 1
                raise
        return web.Response(text="hello", headers={"X-Thing": "1"})


@pytest.fixture
async def server():
    server = await Server().start()
    yield server
    await server.runner.cleanup()


@pytest.fixture(params=TRANSPORTS)
async def transport(request):
    transport = TRANSPORTS[request.param]()
    yield transport
    await transport.close()


async def test_fetch__answer__comes_whole_with_lower_case_headers(server, transport):
    reply = await transport.fetch(Fetch("GET", f"{server.url}/x"))
    assert (reply.status, reply.body, reply.headers["x-thing"]) == (200, b"hello", "1")


async def test_fetch__redirect__is_not_followed(server, transport):
    reply = await transport.fetch(Fetch("GET", f"{server.url}/redirect"))
    assert reply.status == 302
    assert server.hits == ["redirect"]


async def test_fetch__nobody_listens__was_surely_not_sent(transport):
    reply = await transport.fetch(Fetch("POST", "http://127.0.0.1:9/x", body=b"{}"))
    assert isinstance(reply, NoReply)
    assert not reply.was_sent


async def test_fetch__connection_dropped_after_the_request__may_have_arrived(server, transport):
    reply = await transport.fetch(Fetch("POST", f"{server.url}/drop", body=b"{}"))
    assert isinstance(reply, NoReply)
    assert reply.was_sent


async def test_fetch__reply_above_the_limit__is_cut_off(server, transport):
    reply = await transport.fetch(Fetch("GET", f"{server.url}/big", limit=1000))
    assert isinstance(reply, NoReply)
    assert "1000 bytes" in reply.why


async def test_fetch__slower_than_its_timeout__may_have_arrived(server, transport):
    reply = await transport.fetch(Fetch("GET", f"{server.url}/endless", limit=10**9, timeout=0.3))
    assert isinstance(reply, NoReply)
    assert reply.was_sent


async def test_open__closed_early__the_other_side_sees_the_hang_up(server, transport):
    reply, stream = await transport.open(Open(f"{server.url}/endless", {}, b"{}"))
    assert reply.status == 200
    assert await stream.read()
    await stream.close()
    for _ in range(100):
        if server.aborted:
            break
        await asyncio.sleep(0.02)
    assert server.aborted == 1


async def test_open__nobody_listens__was_surely_not_sent(transport):
    reply, stream = await transport.open(Open("http://127.0.0.1:9/x", {}, b"{}"))
    assert isinstance(reply, NoReply)
    assert (reply.was_sent, stream) == (False, None)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
)
async def test_guard__private_address_in_any_spelling__is_never_connected_to(server, host):
    transport = AiohttpTransport(guard=True)
    try:
        url = f"http://{host}:{server.port}/x"
        replies = [await transport.fetch(Fetch("GET", url)), (await transport.open(Open(url, {}, b"")))[0]]
        assert all(isinstance(reply, NoReply) and not reply.was_sent for reply in replies)
        assert not server.hits
    finally:
        await transport.close()


async def test_sync_fetch__drips_for_ever__ends_at_its_deadline(server):
    transport = HttpxSyncTransport()
    reply = await asyncio.to_thread(transport.fetch, Fetch("GET", f"{server.url}/endless", limit=10**9, timeout=0.3))
    assert isinstance(reply, NoReply)
    assert "not whole" in reply.why
    transport.close()
