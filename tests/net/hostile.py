"""`make hostile-endpoints`: what a hostile registration or a hostile peer can make this node connect to, or believe.

Connections are counted by the interpreter's own audit event, not by the code under test. Nothing leaves the host: what
is global is recorded and refused before it is dialled.
"""

import asyncio
import contextlib
import ipaddress
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.peers import HttpPeers, PeerSettings
from node.core.endpoints import EndpointRules
from node.core.errors import EngineFailed, PeerFailed
from node.core.hashing import Domain
from node.core.identity import Identity
from node.core.membership.members import Liveness, Member, Registered
from node.core.types import ZERO32, Address, Bytes32
from node.core.wire import hex_of
from node.ports.network import Limits, StreamCall

CASES = json.loads((Path(__file__).parent / "hostile_endpoints.json").read_text(encoding="utf-8"))
DOMAIN = Domain.of(31337, Address(b"\xee" * 20))
OPERATOR = LocalSigner(Secret(b"\x07" * 32))
STRANGER = LocalSigner(Secret(b"\x08" * 32))
PAYEE = Address(b"\xbb" * 20)
LIMITS = Limits(max_bytes=65_536, seconds=1.0)
PROMPT = b"a secret prompt"
SAFE = EndpointRules()
PRIVATE = EndpointRules(is_private=True)


def member_at(endpoint: str) -> Member:
    return Member(Registered(PAYEE, OPERATOR.address, endpoint), Liveness.ALIVE, is_alive=True, incarnation=1)


class Dialled:
    """Every socket.connect of the process while it is watched; those not allowed are stopped."""

    def __init__(self) -> None:
        self.is_on = False
        self.allowed: set[int] = set()
        self.addresses: list[str] = []
        self.ports: list[int] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event != "socket.connect" or not self.is_on or not isinstance(args[1], tuple):
            return
        host, port = args[1][:2]
        if port in self.allowed:
            return
        self.addresses.append(host)
        self.ports.append(port)
        raise ConnectionRefusedError("no test leaves this host")

    @contextlib.contextmanager
    def watch(self, *allowed: int) -> Iterator[None]:
        self.allowed, self.is_on = set(allowed), True
        try:
            yield
        finally:
            self.is_on = False

    def not_global(self) -> int:
        return sum(not ipaddress.ip_address(host.partition("%")[0]).is_global for host in self.addresses)


class ScriptedResolver:
    """Another answer each time it is asked."""

    def __init__(self, answers: list[list[str]]) -> None:
        self.answers, self.asked = answers, 0

    async def resolve(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]


@dataclass
class Outcome:
    cases: int = 0
    violations: list[str] = field(default_factory=list)

    def note(self, why: str, *, is_fine: bool) -> None:
        self.cases += 1
        if not is_fine:
            self.violations.append(why)


class HostileServer:
    """One listening peer: proves itself as told, then answers every POST with the same bytes."""

    def __init__(self, proof: str = "honest", reply: bytes = b"", *, holds: bool = False) -> None:
        self.proof, self.reply, self.holds = proof, reply, holds
        self.bodies = b""
        self.head = b""
        self.asked = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["HostileServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                writer.write(proof_reply(self.proof, head))
                head = await reader.readuntil(b"\r\n\r\n")
            self.head = head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.bodies += await reader.readexactly(length)
            self.asked.set()
            writer.write(self.reply)
            await writer.drain()
            if self.holds:
                await reader.read()
        writer.close()


def proof_reply(kind: str, head: bytes) -> bytes:
    asked = Bytes32(bytes.fromhex(head.partition(b"nonce=0x")[2][:64].decode()))
    nonce = Bytes32(b"\x01" * 32) if kind == "other_nonce" else asked
    channel = Bytes32(b"\x02" * 32) if kind == "other_channel" else ZERO32
    payee = Address(b"\x03" * 20) if kind == "other_payee" else PAYEE
    signer = STRANGER if kind == "wrong_key" else OPERATOR
    signature = signer.sign(DOMAIN.digest(Identity(payee, nonce, channel).struct_hash()))
    document = {"payee": hex_of(payee), "channel": hex_of(channel), "signature": hex_of(signature)}
    if kind == "unsigned":
        del document["signature"]
    body = {"no_json": b"<html>", "huge": b" " * 100_000}.get(kind, orjson.dumps(document))
    status = {"not_found": "404 x", "redirect": "302 x\r\nlocation: /v1/peer/identity"}.get(kind, "200 OK")
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def is_refused(peers: HttpPeers, member: Member) -> bool:
    """Both ways to speak to a member fail with the right error."""
    try:
        await peers.post_json(member, "/v1/bids", {"prompt": PROMPT.decode()}, LIMITS)
    except PeerFailed:
        return await is_stream_refused(peers, member)
    return False


async def is_stream_refused(peers: HttpPeers, member: Member) -> bool:
    call = StreamCall("/v1/chat/completions", PROMPT, first_byte_seconds=1.0, idle_seconds=1.0, max_bytes=65_536)
    exchange = peers.open_stream(member, call)
    try:
        await exchange.start()
        body = b""
        while part := await exchange.read():
            body += part
    except EngineFailed:
        return True
    # A stream carries bytes, not JSON: what is wrong inside the body is for the relay that reads it.
    return not body.startswith(b"data:")


async def check_urls(dialled: Dialled, outcome: Outcome) -> None:
    resolver = ScriptedResolver([["93.184.216.34"]])
    peers = HttpPeers(PeerSettings(SAFE), DOMAIN, recover, resolver)
    with dialled.watch():
        for url in CASES["urls"]:
            before = len(dialled.addresses)
            refused = await is_refused(peers, member_at(url))
            outcome.note(f"url {url!r}", is_fine=refused and len(dialled.addresses) == before)
    peers.close()


async def check_names(dialled: Dialled, outcome: Outcome) -> None:
    for case in CASES["names"] + CASES["rebinding"]:
        resolver = ScriptedResolver(case["answers"])
        peers = HttpPeers(PeerSettings(SAFE), DOMAIN, recover, resolver)
        before = dialled.not_global()
        with dialled.watch():
            refused = [await is_refused(peers, member_at("https://peer.example")) for _ in range(3)]
        outcome.note(f"name: {case['why']}", is_fine=all(refused) and dialled.not_global() == before)
        peers.close()


def reply_of(case: dict[str, Any], trap: int) -> bytes:
    text = case["reply"].replace("{trap}", str(trap))
    text = text.replace("{big}", "{" + " " * 200_000).replace("{nested}", "[" * 60_000)
    return text.replace("{headers}", "x: y\r\n" * 30_000).encode("latin-1")


async def check_replies(dialled: Dialled, outcome: Outcome) -> None:
    async with HostileServer().running() as trap:
        for case in CASES["replies"]:
            server = HostileServer(reply=reply_of(case, trap.port), holds=case.get("holds", False))
            before = len(dialled.addresses)
            async with server.running():
                peers = HttpPeers(PeerSettings(PRIVATE), DOMAIN, recover)
                with dialled.watch(server.port):
                    refused = await is_refused(peers, member_at(f"http://127.0.0.1:{server.port}"))
                peers.close()
            is_fine = refused and len(dialled.addresses) == before and not trap.bodies
            outcome.note(f"reply: {case['why']}", is_fine=is_fine)


async def check_streams(dialled: Dialled, outcome: Outcome) -> None:
    for case in CASES["streams"]:
        events = case["events"].encode()
        chunk = f"{len(events):x}\r\n".encode() + events + b"\r\n" if events else b""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        server = HostileServer(reply=head + chunk + b"0\r\n\r\n")
        async with server.running():
            peers = HttpPeers(PeerSettings(PRIVATE), DOMAIN, recover)
            with dialled.watch(server.port):
                refused = await is_stream_refused(peers, member_at(f"http://127.0.0.1:{server.port}"))
            peers.close()
        outcome.note(f"stream: {case['why']}", is_fine=refused)


async def check_proofs(dialled: Dialled, outcome: Outcome) -> None:
    for kind in CASES["proofs"]:
        server = HostileServer(kind, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        async with server.running():
            peers = HttpPeers(PeerSettings(PRIVATE), DOMAIN, recover)
            with dialled.watch(server.port):
                refused = await is_refused(peers, member_at(f"http://127.0.0.1:{server.port}"))
            peers.close()
        outcome.note(f"proof: {kind}", is_fine=refused and PROMPT not in server.bodies and not server.bodies)


async def check_all() -> tuple[Outcome, Dialled]:
    outcome, dialled = Outcome(), Dialled()
    await check_urls(dialled, outcome)
    await check_names(dialled, outcome)
    await check_replies(dialled, outcome)
    await check_streams(dialled, outcome)
    await check_proofs(dialled, outcome)
    return outcome, dialled


def main() -> int:
    outcome, dialled = asyncio.run(check_all())
    for violation in outcome.violations:
        print(violation)
    reached = dialled.not_global()
    print(f"connections tried: {len(dialled.addresses)} global, of them to non-global addresses: {reached}")
    print(f"hostile-endpoints: cases {outcome.cases}, violations {len(outcome.violations) + reached}")
    return 1 if outcome.violations or reached else 0


if __name__ == "__main__":
    sys.exit(main())
