"""What protects the node: caps, draining, a ledger that cannot write, sockets that misbehave."""

import asyncio
import contextlib
import json
import time

import pytest

from node.adapters.ledger import SqlLedger
from node.api import server
from node.core.account import Admission, Outcome
from node.core.errors import LedgerUnavailable
from node.core.messages import Receipt
from node.core.types import Micros
from node.services.parts import ServeSettings
from tests.lab.fixtures import Lab, LabMaker, lab, open_lab, tokens

__all__ = ["lab", "open_lab", "tokens"]


class BrokenLedger:
    """A ledger whose named writes fail a number of times."""

    def __init__(self, ledger: SqlLedger, *, admits: int = 0, closes: int = 0) -> None:
        self._ledger = ledger
        self.admits, self.closes = admits, closes

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    async def admit(self, admission: Admission) -> object:
        if self.admits:
            self.admits -= 1
            raise LedgerUnavailable("no durable write is possible now; nothing was served or charged")
        return await self._ledger.admit(admission)

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        if self.closes:
            self.closes -= 1
            raise LedgerUnavailable("no durable write is possible now; nothing was served or charged")
        return await self._ledger.close(admission, outcome, now)


async def test_too_many_at_once__the_rest_is_told_when_to_come_back(open_lab: LabMaker) -> None:
    lab = await open_lab(serve=ServeSettings(max_concurrent=2))
    lab.stub.order("ttft=0.5")
    replies = await asyncio.gather(*(lab.post(lab.body(content=f"words {n}")) for n in range(6)))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 429, 429, 429, 429]
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["retryable"] is True
    assert refused.headers["retry-after"] == "1"


async def test_unpaid_bodies_that_never_end__take_no_paid_requests_place(open_lab: LabMaker) -> None:
    lab = await open_lab(serve=ServeSettings(max_concurrent=2))
    host, port = lab.node.base_url.removeprefix("http://").split(":")
    strangers = [await asyncio.open_connection(host, int(port)) for _ in range(6)]
    for _, writer in strangers:
        writer.write(CHAT_LINE + b"Content-Length: 1000\r\n\r\n{")
        await writer.drain()
    await asyncio.sleep(0.2)
    assert (await lab.post(lab.body())).status_code == 200
    for _, writer in strangers:
        writer.close()


async def test_body_that_was_not_signed__is_refused_before_anything_is_counted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count(*_: object) -> int:
        raise AssertionError("counted a body that nobody signed")

    monkeypatch.setattr("node.services.serve.count_prompt", count)
    reply = await lab.post(lab.body(content="x" * 100_000), lab.headers(lab.body()))
    assert (reply.status_code, reply.json()["error"]["code"]) == (402, "wrong_terms")


async def test_draining__running_answers_end_and_new_ones_are_refused(lab: Lab) -> None:
    lab.stub.order("ttft=0.5")
    running = asyncio.create_task(lab.post(lab.body()))
    await asyncio.sleep(0.2)
    drained = asyncio.create_task(lab.node.serving.drain(5))
    await asyncio.sleep(0.05)
    refused = await lab.post(lab.body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    assert not drained.done()
    await drained
    assert (await running).status_code == 200
    assert (await lab.http.get("/readyz")).json()["problems"] == {"draining": "going down"}


async def test_ledger_cannot_write__nothing_is_served(open_lab: LabMaker) -> None:
    lab = await open_lab(wrap_ledger=lambda ledger: BrokenLedger(ledger, admits=1))
    refused = await lab.post(lab.body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert not lab.stub.received
    assert (await lab.post(lab.body())).status_code == 200


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_charge_cannot_be_written_at_once__it_is_tried_again(open_lab: LabMaker, mode: str) -> None:
    lab = await open_lab(wrap_ledger=lambda ledger: BrokenLedger(ledger, closes=2))
    reply = await lab.post(lab.body(stream=mode == "stream"))
    assert reply.status_code == 200
    assert await lab.charged() > 0


async def test_charge_cannot_be_written_for_long__no_receipt_now_but_no_charge_lost(
    open_lab: LabMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.services.closing.RETRY_SECONDS", (0.01,))
    lab = await open_lab(wrap_ledger=lambda ledger: BrokenLedger(ledger, closes=3))
    reply = await lab.post(lab.body(stream=True))
    assert "ledger_unavailable" in reply.text
    assert "[DONE]" not in reply.text
    assert await lab.charged() == 0
    closer = lab.node.serving.closer
    assert await closer.retry_unclosed() == 1
    assert await closer.retry_unclosed() == 0
    assert await lab.charged() > 0


async def test_lease_lost__the_answer_ends_without_a_receipt(lab: Lab) -> None:
    lab.stub.order("tokens=20,delay=0.02")
    body = lab.body(stream=True)
    lease = lab.node.serving._parts.lease
    post = asyncio.create_task(lab.post(body))
    await asyncio.sleep(0.2)
    lease.is_held = False
    lease.epoch += 1
    reply = await post
    assert "ledger_unavailable" in reply.text
    assert "wwwserve-receipt" not in reply.text


async def raw(lab: Lab, data: bytes, seconds: float = 3.0) -> bytes:
    """Send bytes, read until the node closes or falls silent."""
    host, port = lab.node.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    received = b""
    try:
        async with asyncio.timeout(seconds):
            while block := await reader.read(65536):
                received += block
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return received


CHAT_LINE = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Con\x00tent: 1\r\n",
    ],
)
async def test_ambiguous_framing__is_refused_and_the_connection_closed(lab: Lab, head: bytes) -> None:
    answer = await raw(lab, CHAT_LINE + head + b"\r\nhello")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()


async def test_header_bomb__is_cut_off(lab: Lab) -> None:
    answer = await raw(lab, CHAT_LINE + b"X-Pad: " + b"a" * 200_000)
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/nothing"])
@pytest.mark.parametrize("trailer", [b"x: " + b"a" * 4_000 + b"\r\n", b"a" * 4_000])
async def test_trailers_without_end__are_cut_off(lab: Lab, path: bytes, trailer: bytes) -> None:
    host, port = lab.node.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ")
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 64 << 20:
            writer.write(trailer * 16)
            await writer.drain()
            sent += len(trailer) * 16
    writer.close()
    assert sent < 64 << 20


async def test_slow_headers__are_cut_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab_server = server.LimitedProtocol
    monkeypatch.setattr(lab_server, "_arm", _hasty(lab_server._arm))
    started = time.monotonic()
    assert await raw(lab, CHAT_LINE) == b""
    assert time.monotonic() - started < 2


def _hasty(arm):
    """Every phase ends after 0.2 s."""

    def quick(self, phase: server.Phase) -> None:
        arm(self, server.Phase.NOTHING)
        self._armed = phase
        if phase is not server.Phase.NOTHING:
            self._timer = self.loop.call_later(0.2, self._give_up)

    return quick


async def test_huge_chunked_body__is_counted_and_refused(lab: Lab) -> None:
    async def chunked():
        # One byte too many and not more: a server that closes on unread bytes may reset the connection.
        for _ in range(128):
            yield b"x" * 65_536
        yield b"x"

    reply = await lab.http.post("/v1/chat/completions", content=chunked(), headers=lab.headers(lab.body()))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


async def test_healthz_readyz_metrics__tell_what_they_should(lab: Lab) -> None:
    assert (await lab.http.get("/healthz")).json() == {"status": "ok"}
    ready = await lab.http.get("/readyz")
    assert (ready.status_code, ready.json()["generation"]) == (200, 1)
    await lab.post(lab.body())
    await lab.post(lab.body(), {})
    text = (await lab.http.get("/metrics")).text
    assert 'wwwserve_receipts_total{status="complete"} 1.0' in text
    assert 'wwwserve_refused_total{code="missing_payment"} 1.0' in text
    assert "wwwserve_in_flight 0.0" in text
    lab.stub.health = 503
    ready = await lab.http.get("/readyz")
    assert (ready.status_code, ready.json()["problems"]) == (503, {"engines": "no engine answers for stub"})


async def test_old_head__nothing_is_admitted_and_readyz_says_why(lab: Lab) -> None:
    chain = lab.node.serving._parts.chain
    chain._max_head_age = 100
    lab.node.book.head_at = time.time() - 1_000
    await chain.refresh()
    reply = await lab.post(lab.body())
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "chain_unavailable")
    assert "chain" in (await lab.http.get("/readyz")).json()["problems"]


async def test_prompt_and_answer__never_reach_logs_or_books(
    lab: Lab, caplog: pytest.LogCaptureFixture, tmp_path
) -> None:
    canary = "canary-7f3a91"
    lab.stub.order("fault=error_event,after=3", 1)
    await lab.post(lab.body(content=canary, stream=True))
    await lab.post(lab.body(content=canary))
    metrics = (await lab.http.get("/metrics")).text
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("node.db*"))
    for place in (caplog.text, metrics, json.dumps((await lab.http.get("/readyz")).json())):
        assert canary not in place
    assert canary.encode() not in stored
