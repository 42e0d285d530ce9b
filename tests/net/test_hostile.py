"""The hostile corpus of `make hostile-endpoints`, and that an honest peer gets through the same checks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import pytest_asyncio

from node.adapters.keys import recover
from node.adapters.peers import HttpPeers, PeerSettings
from node.core.errors import EngineFailed, PeerFailed
from node.core.membership.members import Member
from node.ports.network import Limits, StreamCall
from tests.net.hostile import DOMAIN, LIMITS, PRIVATE, PROMPT, SAFE, HostileServer, check_all, member_at, proof_reply

JSON = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + b'{"a": 1}'
EVENTS = b'data: {"a":1}\n\ndata: [DONE]\n\n'
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\npayment-response: x\r\ntransfer-encoding: chunked\r\n\r\n"
    + f"{len(EVENTS):x}\r\n".encode()
    + EVENTS
    + b"\r\n0\r\n\r\n"
)
CALL = StreamCall("/v1/chat/completions", PROMPT, first_byte_seconds=20.0, idle_seconds=20.0)
PATIENT = Limits(seconds=20.0)


@pytest_asyncio.fixture
async def peers() -> AsyncIterator[HttpPeers]:
    made = HttpPeers(PeerSettings(PRIVATE), DOMAIN, recover)
    yield made
    made.close()


def at(server: HostileServer) -> Member:
    return member_at(f"http://127.0.0.1:{server.port}")


async def whole(peers: HttpPeers, member: Member, call: StreamCall = CALL) -> bytes:
    exchange = peers.open_stream(member, call)
    assert await exchange.start() == 200
    body = b""
    while part := await exchange.read():
        body += part
    return body


@pytest.mark.slow
async def test_corpus__every_hostile_endpoint_and_reply__is_refused_and_nothing_private_is_dialled() -> None:
    outcome, dialled = await check_all()
    assert outcome.violations == []
    assert outcome.cases >= 80
    assert dialled.not_global() == 0
    assert dialled.addresses  # the audit event is seen at all


async def test_honest_peer__json_and_stream__get_through(peers: HttpPeers) -> None:
    async with HostileServer(reply=JSON).running() as server:
        reply = await peers.post_json(at(server), "/v1/bids", {"prompt": PROMPT.decode()}, PATIENT)
        assert (reply.status, reply.document) == (200, {"a": 1})
        assert PROMPT in server.bodies
    async with HostileServer(reply=STREAM).running() as server:
        assert await whole(peers, at(server)) == EVENTS


async def read_to_done(peers: HttpPeers, member: Member) -> None:
    """As the pay flow does: it hangs up once `[DONE]` is in."""
    exchange = peers.open_stream(member, CALL)
    assert await exchange.start() == 200
    body = b""
    while not body.endswith(b"[DONE]\n\n"):
        body += await exchange.read()
    exchange.cancel()
    exchange.cancel()
    await asyncio.sleep(0.3)


@asynccontextmanager
async def keeping_server(after_done: bytes) -> AsyncIterator[tuple[Member, list[bytes]]]:
    """A peer that keeps its connections; `after_done` comes a moment after `[DONE]`. The list: heads, as they came."""
    heads: list[bytes] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                if heads[-1].startswith(b"GET"):
                    writer.write(proof_reply("honest", heads[-1]))
                    continue
                await reader.readexactly(len(PROMPT))
                writer.write(STREAM.removesuffix(b"0\r\n\r\n"))
                await asyncio.sleep(0.02)
                writer.write(after_done)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield member_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), heads
    finally:
        server.close()
        tasks = [task for task in serving if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("after_done", "proofs"), [(b"0\r\n\r\n", 1), (b"3\r\n: x\r\n0\r\n\r\n", 3), (b"?", 3)])
async def test_stream__hung_up_after_done__is_used_again_unproven_if_the_answer_ended_there(
    peers: HttpPeers, after_done: bytes, proofs: int
) -> None:
    async with keeping_server(after_done) as (member, heads):
        for _ in range(3):
            await read_to_done(peers, member)
    assert sum(head.startswith(b"GET") for head in heads) == proofs
    assert sum(head.startswith(b"POST") for head in heads) == 3


async def test_stream__head_and_headers__pass_only_what_is_agreed(peers: HttpPeers) -> None:
    async with HostileServer(reply=STREAM).running() as server:
        headers = {"PAYMENT-SIGNATURE": "v", "Cookie": "c", "Authorization": "a", "X-Request-Id": "r"}
        exchange = peers.open_stream(at(server), replace(CALL, headers=headers))
        await exchange.start()
        assert exchange.header("payment-response") == "x"
        assert exchange.header("x-other") is None
        head = server.head.lower()
        assert b"payment-signature: v" in head
        assert not any(name in head for name in (b"cookie", b"authorization", b"x-request-id"))


async def test_stream__a_header_that_would_end_the_field__is_refused_before_anything_is_sent(peers: HttpPeers) -> None:
    async with HostileServer(reply=STREAM).running() as server:
        bad = replace(CALL, headers={"payment-signature": "v\r\nhost: evil"})
        with pytest.raises(EngineFailed):
            await peers.open_stream(at(server), bad).start()
        assert server.bodies == b""


async def test_stream__beyond_the_hop_limit__is_refused_before_anything_is_sent(peers: HttpPeers) -> None:
    async with HostileServer(reply=STREAM).running() as server:
        assert await whole(peers, at(server), replace(CALL, hops=2)) == EVENTS
        server.bodies = b""
        with pytest.raises(EngineFailed, match="as many nodes"):
            await peers.open_stream(at(server), replace(CALL, hops=3)).start()
        assert server.bodies == b""


async def test_stream__larger_than_agreed__is_cut(peers: HttpPeers) -> None:
    async with HostileServer(reply=STREAM).running() as server:
        with pytest.raises(EngineFailed, match="no end"):
            await whole(peers, at(server), replace(CALL, max_bytes=10))


async def test_stream__silent_peer__fails_after_the_agreed_time(peers: HttpPeers) -> None:
    async with HostileServer(reply=b"", holds=True).running() as server:
        with pytest.raises(EngineFailed, match="too long"):
            await whole(peers, at(server), replace(CALL, first_byte_seconds=0.3))
    half = STREAM[: STREAM.index(b"data: [DONE]")]
    async with HostileServer(reply=half, holds=True).running() as server:
        with pytest.raises(EngineFailed, match="too long"):
            await whole(peers, at(server), replace(CALL, idle_seconds=0.3))


async def test_stream__cancelled_while_it_waits__fails_and_closes(peers: HttpPeers) -> None:
    async with HostileServer(reply=b"", holds=True).running() as server:
        exchange = peers.open_stream(at(server), CALL)
        starting = asyncio.create_task(exchange.start())
        await server.asked.wait()
        exchange.cancel()
        with pytest.raises(EngineFailed):
            await starting
        with pytest.raises(EngineFailed):
            await exchange.read()


async def test_stream__cancelled_before_it_starts__sends_nothing(peers: HttpPeers) -> None:
    async with HostileServer(reply=STREAM).running() as server:
        exchange = peers.open_stream(at(server), CALL)
        exchange.cancel()
        with pytest.raises(EngineFailed):
            await exchange.start()
        assert server.bodies == b""


async def test_wrong_key__on_a_proven_pool__is_never_reused_for_another_operator(peers: HttpPeers) -> None:
    keep = JSON.replace(b"\r\n\r\n", b"\r\nconnection: keep-alive\r\n\r\n")
    async with HostileServer(reply=keep).running() as server:
        good = at(server)
        await peers.post_json(good, "/v1/bids", {}, PATIENT)
        rotated = replace(good, registered=replace(good.registered, operator=b"\x09" * 20))
        with pytest.raises(PeerFailed, match="not who the registry says"):
            await peers.post_json(rotated, "/v1/bids", {}, PATIENT)


async def test_packet__needs_no_proof_but_a_200_in_time(peers: HttpPeers) -> None:
    async with HostileServer(reply=b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nack").running() as server:
        assert await peers.post_packet(at(server), b"ping", PATIENT) == b"ack"
    async with HostileServer(reply=b"HTTP/1.1 400 x\r\ncontent-length: 0\r\n\r\n").running() as server:
        with pytest.raises(PeerFailed, match="refuses"):
            await peers.post_packet(at(server), b"ping", PATIENT)
    async with HostileServer(reply=b"", holds=True).running() as server:
        with pytest.raises(PeerFailed, match="too long"):
            await peers.post_packet(at(server), b"ping", Limits(seconds=0.3))


async def test_private_rules_off__the_same_loopback_peer__is_refused() -> None:
    strict = HttpPeers(PeerSettings(SAFE), DOMAIN, recover)
    async with HostileServer(reply=JSON).running() as server:
        with pytest.raises(PeerFailed):
            await strict.post_json(at(server), "/v1/bids", {}, LIMITS)
        with pytest.raises(PeerFailed):
            await strict.post_json(member_at(f"https://127.0.0.1:{server.port}"), "/v1/bids", {}, LIMITS)
        assert server.bodies == b""
    strict.close()


async def test_name_that_does_not_exist__fails_and_is_remembered(peers: HttpPeers) -> None:
    for _ in range(2):
        with pytest.raises(PeerFailed, match=r"resolve|too long"):
            await peers.post_json(member_at("http://no-such-name.invalid"), "/v1/bids", {}, PATIENT)


async def test_port_where_nobody_listens__fails(peers: HttpPeers) -> None:
    async with HostileServer().running() as server:
        gone = at(server)
    with pytest.raises(PeerFailed, match="does not answer"):
        await peers.post_json(gone, "/v1/bids", {}, PATIENT)
