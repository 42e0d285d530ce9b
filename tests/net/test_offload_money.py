"""What a node pays and earns where a bought answer does not end well, by its peer's fault or its client's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from node.api.hot import PaidExchange
from node.core.billing import Ending, Prices, settle_outcome
from node.core.choices import response_hash
from node.core.types import TokenCount
from node.services.patience import Patience
from tests.lab.fixtures import CHAT, stream_receipt
from tests.net.lab import Net, NetNode, NodePlan, running_net
from tests.net.test_offload import body, bought, buy, in_wallet

PLANS = [NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back")]
LINE_SECONDS, WORDS_SENT = 0.5, 4
EXTRA = 256
"""What a hang-up of ours would allow."""


@pytest_asyncio.fixture
async def net(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    """No peer is silent only because this machine is busy."""
    monkeypatch.setattr("node.services.bids.ASK_SECONDS", 30.0)
    monkeypatch.setattr("node.services.offload.SHORTEST_START", 30.0)
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(running_net(tokens, tmp_path, PLANS))


class Liar:
    """Ends the node's answers with the receipt of a hang-up, for 256 tokens more than it sent; later if wished."""

    def __init__(self, node: NetNode, seconds: float = 0.0) -> None:
        self._closer, self._seconds = node.lab.serving.closer, seconds
        self._honest = self._closer._outcome
        self._closer._outcome = self._outcome  # type: ignore[method-assign]

    async def _outcome(self, admission: Any, quote: Any, relay: Any) -> Any:
        true = await self._honest(admission, quote, relay)
        await asyncio.sleep(self._seconds)
        tokens = TokenCount(quote.prompt_tokens, true.tokens.completion + EXTRA)
        terms = admission.terms
        prices = Prices(terms.price_prompt, terms.price_completion, terms.max_price)
        return settle_outcome(Ending.HUNG_UP, tokens, prices, response_hash(admission.salt, ()))


async def until_bought(folder: Path, node: NetNode, *, is_late: bool = False) -> list[Any]:
    """Once a purchase of its has a receipt. `is_late`: as its clock finds it."""
    ends_at = time.monotonic() + 60
    while not (rows := bought(folder, node)):
        assert time.monotonic() < ends_at, "no receipt came"
        await asyncio.sleep(0.05)
        if is_late:
            await node.routed.market.sweep()
    return rows


async def until_found(folder: Path, node: NetNode) -> list[str]:
    """The codes of its wallet's findings, once there is one."""
    ends_at = time.monotonic() + 60
    while not (found := in_wallet(folder, node, lambda books: [one["code"] for one in books.load_findings()])):
        assert time.monotonic() < ends_at, "nothing was found"
        await asyncio.sleep(0.05)
    return found


class TestSilentPeer:
    async def test_silent_peer__charges_a_hang_up__is_owed_nothing_that_counts_and_noted(
        self, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("node.services.offload.SHORTEST_START", 3.0)
        front, back = net.nodes["front"], net.nodes["back"]
        assert back.stub is not None
        back.stub.order("fault=hang")
        Liar(back)
        reply = await buy(front, body(stream=True, max_tokens=300), max_price=200_000)
        assert reply.status_code == 502
        (row,) = await until_bought(tmp_path, front)
        assert row.charge > 0
        purse = in_wallet(tmp_path, front, lambda books: books.load_purses()[0])
        assert (purse.verified, purse.explained) == (0, row.charge), "not one byte came"
        assert await until_found(tmp_path, front) == ["charged_unseen"]
        assert not purse.stopped

    async def test_peer_that_holds_back_the_end__is_owed_what_came(
        self, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("node.services.offload.IDLE_SECONDS", 5.0)
        front = net.nodes["front"]
        Liar(net.nodes["back"], seconds=8.0)
        reply = await buy(front, body(stream=True, max_tokens=300), max_price=200_000)
        ours = stream_receipt(reply.text)["receipt"]
        (row,) = await until_bought(tmp_path, front)
        purse = in_wallet(tmp_path, front, lambda books: books.load_purses()[0])
        assert ours["status"] == 4
        assert 0 < purse.verified <= int(ours["charge"]) < row.charge, "the rest stays counted against the exposure"


class SlowLine:
    """What one node sends arrives LINE_SECONDS later; `sent` once words of an answer are on their way."""

    def __init__(self, node: NetNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent = asyncio.Event()
        self._writes = 0
        self._port = node.base_url.rsplit(":", 1)[1]
        self._write, self._answer = PaidExchange.write, PaidExchange.answer
        line = self

        def write(exchange: PaidExchange, block: bytes) -> bool:
            return line.write(exchange, block)

        async def answer(exchange: PaidExchange, body: bytes, receipt: Any) -> None:
            await line.answer(exchange, body, receipt)

        monkeypatch.setattr(PaidExchange, "write", write)
        monkeypatch.setattr(PaidExchange, "answer", answer)

    def _is_slow(self, exchange: PaidExchange) -> bool:
        return str(exchange._line.transport.get_extra_info("sockname")[1]) == self._port

    def write(self, exchange: PaidExchange, block: bytes) -> bool:
        if not self._is_slow(exchange):
            return self._write(exchange, block)
        self._writes += 1
        if self._writes == WORDS_SENT:
            self.sent.set()
        asyncio.get_running_loop().call_later(LINE_SECONDS, self._write, exchange, block)
        return True

    async def answer(self, exchange: PaidExchange, body: bytes, receipt: Any) -> None:
        if self._is_slow(exchange):
            self.sent.set()
            await asyncio.sleep(LINE_SECONDS)
        await self._answer(exchange, body, receipt)


class Leaver:
    """A client that goes away without its answer, and what its node charges it for that."""

    def __init__(self, node: NetNode, sent: bytes) -> None:
        headers = node.payer.pay(sent, int(time.time()) + 60, 20_000)
        self._task = asyncio.create_task(node.http.post(CHAT, content=sent, headers=headers))

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @staticmethod
    async def receipt_of(node: NetNode) -> dict[str, Any]:
        me = "0x" + node.payer.address.hex()
        query = f"/v1/receipts?payer={me}&lane={me}&generation=1&after=0&limit=10"
        ends_at = time.monotonic() + 60
        while not (shown := (await node.http.get(query)).json().get("receipts")):
            assert time.monotonic() < ends_at, "the request was never closed"
            await asyncio.sleep(0.05)
        found: dict[str, Any] = shown[0]["receipt"]
        return found


class TestClientLeaves:
    @pytest.mark.parametrize("kind", ["stream", "plain"])
    async def test_client_leaves__the_peers_answer_is_on_its_way__client_pays_what_the_node_pays(
        self, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        monkeypatch.setattr("node.client.late.LATE_RECEIPT_PAUSES", (0.2,) * 200)
        monkeypatch.setattr("node.client.late.NODE_PAUSES", 200)
        front, back = net.nodes["front"], net.nodes["back"]
        line = SlowLine(back, monkeypatch)
        assert back.stub is not None
        if kind == "stream":
            back.stub.order("tokens=50,delay=0.03")
        client = Leaver(front, body("word " * 300, stream=kind == "stream"))
        await asyncio.wait_for(line.sent.wait(), 60)
        await client.leave()
        (row,) = await until_bought(tmp_path, front)
        receipt = await client.receipt_of(front)
        assert receipt["status"] == 2
        assert row.charge > 0
        assert 0 <= row.charge * 2 - int(receipt["charge"]) <= 1, "at half the price per token"
        await asyncio.sleep(0.1)
        assert not front.routed.services.router.peers.records, "cut short, it says nothing of its peer's promise"

    @pytest.mark.parametrize("seconds", [0.0, 5.0], ids=["at once", "late"])
    async def test_client_leaves__executor_claims_as_much_as_a_hang_up_allows__node_loses_nothing_that_counts(
        self, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        """A friend of the executor's leaves after a few words, again and again; or its receipt comes too late."""
        monkeypatch.setattr("node.client.late.LATE_RECEIPT_PAUSES", (0.3, 0.5, 0.5))
        front, back = net.nodes["front"], net.nodes["back"]
        assert back.stub is not None
        back.stub.order("tokens=500,delay=0.05")
        Liar(back, seconds)
        sent = body(stream=True, max_tokens=500)
        headers = front.payer.pay(sent, int(time.time()) + 60, 1_000_000)
        async with front.http.stream("POST", CHAT, content=sent, headers=headers) as reply:
            async for text in reply.aiter_text():
                if '"content":"' in text:
                    break
        receipt = await Leaver.receipt_of(front)
        (row,) = await until_bought(tmp_path, front, is_late=bool(seconds))
        purse = in_wallet(tmp_path, front, lambda books: books.load_purses()[0])
        assert purse.explained == row.charge > EXTRA * 300_000 // 1_000_000
        assert purse.verified <= int(receipt["charge"])


class TestEmptyAnswers:
    @pytest.mark.parametrize("kind", ["stream", "plain"])
    async def test_answers_made_empty_at_a_peer__exhaust_that_clients_patience_and_harm_nobody_else(
        self, net: Net, kind: str
    ) -> None:
        """As by a stop word that always comes first."""
        front, back = net.nodes["front"], net.nodes["back"]
        assert back.stub is not None
        for node in (front, back):
            node.lab.serving._patience = Patience(3, 3_600)
        back.stub.order("tokens=0")
        for number in range(3):
            await net.follow()
            reply = await buy(front, body(f"number {number}", stream=kind == "stream"))
            assert reply.status_code == 200, reply.text
        assert len(back.stub.received) == 3, "nobody tries again"
        refused = await buy(front, body("one more"))
        assert (refused.status_code, "of this payer" in refused.text) == (429, True)
        assert not front.routed.services.router.peers.records, "no promise was broken"
        assert net.membership.reported == []
        back.stub.order("tokens=5")
        await net.follow()
        front.lab.serving._patience = Patience(3, 3_600)  # as another client finds it
        assert (await buy(front, body("another's"))).status_code == 200, "its peer has patience with it still"
