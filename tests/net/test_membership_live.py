"""Five nodes on loopback: joining, a crash, a return, a goodbye, a standing bid; then proof of identity over TLS.

The limits are conditions with much room, since the machine may be busy; `make gossip-sim` measures the protocol.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from node.adapters.keys import recover
from node.adapters.peers import HttpPeers, PeerSettings
from node.adapters.peers.certificate import CertificateFile
from node.core.endpoints import EndpointRules
from node.core.errors import BadConfig, BadRequest, PeerFailed
from node.core.hashing import keccak
from node.core.identity import Identity
from node.core.membership.members import Liveness, Member, Registered
from node.core.membership.tally import Dropped
from node.core.types import ZERO32, Bytes32
from node.core.wire import bytes_of, signature_of
from node.ports.network import Limits
from node.services.identity import Prover
from tests.factories import DOMAIN
from tests.net.live import LiveNode, live_network, payee_of, signer_of
from tests.net.tls_front import make_certificate
from tests.unit.membership_makers import make_row

PATIENCE = 90.0


async def until(condition: Callable[[], bool]) -> float:
    """Seconds until it holds; fails after a long time."""
    start = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- any condition of several nodes
            await asyncio.sleep(0.02)
    return time.monotonic() - start


def all_believe(nodes: list[LiveNode], number: int, *, alive: bool = True) -> bool:
    return all(node.believes_in(number) is alive for node in nodes if node.number != number)


@pytest.mark.timeout(600)
async def test_five_nodes__crash_return_and_goodbye__everybody_notices(record_property: Callable[..., None]) -> None:
    async with live_network(5) as nodes:
        await until(lambda: all(all_believe(nodes, n) for n in range(1, 6)))
        assert nodes[0].service is not None
        nodes[0].service.bid_with(lambda: [make_row()])
        others = nodes[:3] + nodes[4:]
        dead, _ = await asyncio.gather(until(lambda: all_believe(others, 4, alive=False)), nodes[3].stop())
        await nodes[3].start()
        assert nodes[3].service is not None
        await nodes[3].service.refresh()
        back = await until(lambda: all_believe(nodes, 4))
        await until(lambda: all(node.service.member(payee_of(1)).bid is not None for node in nodes[1:]))
        await nodes[4].service.stop()
        await until(lambda: all(one.service.member(payee_of(5)).state is Liveness.LEFT for one in nodes[:4]))
        record_property("dead_seconds", round(dead, 2))
        print(f"live: dead everywhere after {dead:.2f} s, back after {back:.2f} s")
        forged = sum(node.service.tally.dropped[Dropped.FORGED] for node in nodes)
        assert forged == 0


@pytest.mark.timeout(300)
async def test_routes__bad_packets_and_nonces__are_refused_and_members_are_shown() -> None:
    async with live_network(2) as nodes:
        service = nodes[0].service
        assert service is not None
        with pytest.raises(BadRequest):
            await service.on_packet(b"no packet")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{nodes[0].port}", timeout=60) as http:
            refused = await http.post("/v1/peer/packets", content=b"x" * 200)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
            large = await http.post("/v1/peer/packets", content=b"x" * 100_000)
            assert large.status_code == 413
            assert (await http.get("/v1/peer/identity", params={"nonce": "0x12"})).status_code == 400
            proof = (await http.get("/v1/peer/identity", params={"nonce": "0x" + "ab" * 32})).json()
            identity = Identity(payee_of(1), Bytes32(b"\xab" * 32), Bytes32(bytes_of(proof["channel"], 32, "c")))
            signer = recover(DOMAIN.digest(identity.struct_hash()), signature_of(proof["signature"]))
            assert signer == signer_of(1).address
            members = (await http.get("/v1/peer/members")).json()["members"]
            assert {one["payee"] for one in members} == {"0x" + "01" * 20, "0x" + "02" * 20}
        assert service.tally.dropped[Dropped.MALFORMED] == 2


async def test_refresh__a_loop_that_failed__is_started_again_and_its_failure_told() -> None:
    async with live_network(2) as nodes:
        service = nodes[0].service
        assert service is not None
        service.bid_with(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        await until(lambda: service._runner is not None and service._runner.done())
        service.bid_with(tuple)
        with pytest.raises(ZeroDivisionError):
            await service.refresh()
        await service.refresh()
        assert service._runner is not None
        assert not service._runner.done()


async def serve_tls(files: tuple[Path, Path], prover: Prover) -> tuple[asyncio.Server, int, list[bytes]]:
    """A TLS server that proves itself with `prover` and keeps every POSTed body."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = b'{"ok": true}'
                if head.startswith(b"GET"):
                    nonce = Bytes32(bytes.fromhex(head.partition(b"nonce=0x")[2][:64].decode()))
                    body = httpx.Response(200, json=prover.proof(nonce)).content
                else:
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    bodies.append(await reader.readexactly(length))
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    return server, server.sockets[0].getsockname()[1], bodies


async def test_tls__the_operator_key_vouches_for_the_certificate__a_middleman_with_another_one_gets_no_byte(
    tmp_path: Path,
) -> None:
    own, other = make_certificate(tmp_path, "own"), make_certificate(tmp_path, "other")
    signer = signer_of(1)
    prover = Prover(payee_of(1), DOMAIN, signer, CertificateFile(own[1]).read)
    trust = ssl.create_default_context(cafile=str(own[1]))
    trust.load_verify_locations(other[1])  # the middleman's certificate is valid for the name, too
    peers = HttpPeers(PeerSettings(EndpointRules(is_private=True), trust), DOMAIN, recover)
    for files, is_honest in ((own, True), (other, False)):
        server, port, bodies = await serve_tls(files, prover)
        registered = Registered(payee_of(1), signer.address, f"https://localhost:{port}")
        member = Member(registered, Liveness.ALIVE, is_alive=True, incarnation=1)
        if is_honest:
            reply = await peers.post_json(member, "/v1/bids", {"prompt": "secret"}, Limits(seconds=60.0))
            assert reply.document == {"ok": True}
            assert bodies == [b'{"prompt":"secret"}']
        else:
            with pytest.raises(PeerFailed, match="does not vouch"):
                await peers.post_json(member, "/v1/bids", {"prompt": "secret"}, Limits(seconds=60.0))
            assert bodies == []
        server.close()
    peers.close()


def test_certificate_file__missing_wrong_renewed_or_none(tmp_path: Path) -> None:
    assert CertificateFile(None).read() is None
    with pytest.raises(BadConfig):
        CertificateFile(tmp_path / "absent.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    with pytest.raises(BadConfig):
        CertificateFile(broken)
    _, first = make_certificate(tmp_path, "first")
    _, second = make_certificate(tmp_path, "second")
    file = CertificateFile(first)
    before = file.read()
    first.write_text(second.read_text())
    import os

    os.utime(first, (1, 1))
    after = file.read()
    assert before is not None
    assert after is not None
    assert keccak(before) != keccak(after)
    assert Prover(payee_of(1), DOMAIN, signer_of(1), lambda: None).proof(ZERO32)["channel"] == "0x" + "00" * 32
