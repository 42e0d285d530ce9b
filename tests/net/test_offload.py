"""Whole nodes that offload to each other: paid twice over (client to node, node to peer), chained, never lost."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import select

from node.adapters.keys import recover
from node.audit.deployment import Deployment
from node.audit.documents import parse_held
from node.audit.single import check_single
from node.client import tables as wallet_tables
from node.client.books import Books
from node.client.store import open_engine
from node.core.answers import answer_from_json, is_named_by
from node.core.messages import Receipt, Terms
from node.core.routing.record import record_hash
from node.core.types import ZERO32, LaneKey, Signature
from node.core.wire import hex_of, message_from_json
from node.services.answers import AnswerSigner
from tests.lab.fixtures import CHAT, events_of, stream_receipt
from tests.lab.node import DOMAIN
from tests.net.lab import Net, NetNode, NodePlan, running_net, with_settings

DEPLOYED = Deployment(DOMAIN.chain_id, DOMAIN.escrow, b"", b"", b"", "DEV", 6, 1, bytes(32))


class NetMaker:
    def __init__(self, tokens: Path, folder: Path, stack: AsyncExitStack) -> None:
        self._tokens, self._folder, self._stack = tokens, folder, stack

    async def __call__(self, *plans: NodePlan) -> Net:
        return await self._stack.enter_async_context(running_net(self._tokens, self._folder, list(plans)))


@pytest_asyncio.fixture
async def open_net(tokens: Path, tmp_path: Path) -> AsyncIterator[NetMaker]:
    async with AsyncExitStack() as stack:
        yield NetMaker(tokens, tmp_path, stack)


def body(content: str = "how many words", **fields: Any) -> bytes:
    chat = {"model": "stub", "messages": [{"role": "user", "content": content}], "max_tokens": 64, **fields}
    return orjson.dumps(chat)


async def buy(node: NetNode, sent: bytes, max_price: int = 2_000) -> Any:
    headers = node.payer.pay(sent, int(time.time()) + 60, max_price)
    return await node.http.post(CHAT, content=sent, headers=headers)


def bought(folder: Path, node: NetNode) -> list[Any]:
    """The receipts of what a node bought, each with the terms it signed."""
    engine = open_engine(folder / f"{node.name}-wallet.db")
    joined = wallet_tables.receipt.join(wallet_tables.purchase)
    columns = (wallet_tables.purchase.c.terms, wallet_tables.receipt.c.charge)
    with engine.connect() as connection:
        rows = list(connection.execute(select(*columns).select_from(joined)))
    engine.dispose()
    return rows


def in_wallet(folder: Path, node: NetNode, read: Callable[[Books], Any]) -> Any:
    engine = open_engine(folder / f"{node.name}-wallet.db")
    try:
        with engine.connect() as connection:
            return read(Books(connection))
    finally:
        engine.dispose()


async def draws_of(node: NetNode, request_id: str) -> dict[str, Any]:
    await node.routed.services.draws.settle()
    reply = await node.http.get(f"/v1/draws/{request_id}")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


class TestOffload:
    async def test_offload__node_without_engine__streams_the_peers_answer_under_its_own_receipt(
        self, open_net: NetMaker, tmp_path: Path
    ) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front, back = net.nodes["front"], net.nodes["back"]
        reply = await buy(front, body(stream=True, stream_options={"include_usage": True}))
        assert reply.status_code == 200, reply.text
        receipt = stream_receipt(reply.text)["receipt"]
        assert events_of(reply.text)[-1] == "data: [DONE]"
        assert receipt["status"] == 1
        assert receipt["payee"] == hex_of(front.payee)
        (row,) = bought(tmp_path, front)
        terms = orjson.loads(row.terms)
        assert (terms["hops"], terms["originHash"]) == (1, receipt["context"])
        ours, theirs = int(receipt["charge"]), row.charge
        assert 0 <= theirs * 2 - ours <= 1, "half the price per token, rounded up once on each side"
        assert back.stub is not None
        assert b"cache_salt" in back.stub.received[0][2]

    @pytest.mark.parametrize("kind", ["stream", "plain"])
    async def test_offload__whole_answer__comes_with_the_executors_word_which_both_sides_show(
        self, open_net: NetMaker, tmp_path: Path, kind: str
    ) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front, back = net.nodes["front"], net.nodes["back"]
        reply = await buy(front, body(stream=kind == "stream"))
        assert reply.status_code == 200, reply.text
        (row,) = bought(tmp_path, front)
        terms, payer = message_from_json(Terms, orjson.loads(row.terms)), NodePlan("front").operator.address
        key = LaneKey(payer, NodePlan("back").payee, payer, 1)
        word = in_wallet(tmp_path, front, lambda books: books.load_answer(key, terms.request_id))
        assert word is not None, "kept in the same commit as the receipt"
        assert recover(DOMAIN.digest(word.answer.struct_hash()), word.signature) == NodePlan("back").operator.address
        query = f"payer={hex_of(payer)}&lane={hex_of(payer)}"
        shown = (await back.http.get(f"/v1/receipts/{hex_of(terms.request_id)}?{query}")).json()
        assert answer_from_json(shown["answer"]) == word
        assert shown["receipt"]["answerHash"] == hex_of(word.answer.struct_hash())
        assert is_named_by(word.answer, message_from_json(Receipt, shown["receipt"]), terms)
        rows, is_ok = check_single([parse_held(shown)], DEPLOYED, NodePlan("back").operator.address)
        assert is_ok, rows

    async def test_offload__executor_shows_no_answer_or_names_none__is_noted_or_stopped(
        self, open_net: NetMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front = net.nodes["front"]
        with monkeypatch.context() as patched:
            patched.setattr(AnswerSigner, "signed", lambda *_: None)
            assert (await buy(front, body())).status_code == 200, "the client has its answer all the same"
        monkeypatch.setattr(AnswerSigner, "hash_for", lambda *_: ZERO32)
        assert (await buy(front, body())).status_code != 200
        findings = in_wallet(tmp_path, front, lambda books: [one["code"] for one in books.load_findings()])
        assert findings == ["answer_withheld", "no_answer"]

    async def test_offload__plain_request__comes_back_whole(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        reply = await buy(net.nodes["front"], body())
        assert reply.status_code == 200, reply.text
        cost = reply.json()["usage"]["cost"]
        assert cost["request_id"].startswith("0x")
        assert int(cost["charge"]) > 0

    async def test_draw__after_an_offload__is_signed_and_names_everyone_with_a_reason(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front, back = net.nodes["front"], net.nodes["back"]
        reply = await buy(front, body())
        shown = await draws_of(front, reply.json()["usage"]["cost"]["request_id"])
        (one,) = shown["draws"]
        signer = front.routed.services.draws.identity.recover(
            DOMAIN.digest(record_hash(one["document"])), Signature(bytes.fromhex(one["signature"][2:]))
        )
        assert hex_of(signer) == shown["operator"]
        acts = {step["provider"]: (step["act"], step["reason"]) for step in one["record"]["steps"]}
        assert acts[hex_of(back.payee)] == ("chosen", "")
        assert acts.get(hex_of(front.payee), ("skipped", "self")) == ("skipped", "self")
        chosen = next(step for step in one["record"]["steps"] if step["act"] == "chosen")
        assert chosen["evidence"]["payee"] == hex_of(back.payee)

    async def test_offload__peer_too_dear__is_skipped_and_the_client_told_to_wait(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False), NodePlan("back"))
        reply = await buy(net.nodes["front"], body())
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1

    async def test_offload__client_forbids_it__is_refused_by_a_node_without_engine(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front, sent = net.nodes["front"], body(wwwserve={"providers": [hex_of(net.nodes["front"].payee)]})
        reply = await buy(front, sent)
        assert reply.status_code == 429

    async def test_offload__client_hangs_up__stops_the_peers_engine(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        front, back = net.nodes["front"], net.nodes["back"]
        assert back.stub is not None
        back.stub.order("tokens=500,delay=0.05")
        sent = body(stream=True, max_tokens=500)
        headers = front.payer.pay(sent, int(time.time()) + 60, 100_000)
        async with front.http.stream("POST", CHAT, content=sent, headers=headers) as reply:
            await anext(reply.aiter_bytes())
        for _ in range(600):
            if back.stub.counts["aborted"]:
                break
            await asyncio.sleep(0.05)
        assert back.stub.counts["aborted"] == 1


class TestFailOver:
    async def test_failover__first_peer_dead_before_first_token__second_serves_and_client_sees_nothing(
        self, open_net: NetMaker
    ) -> None:
        first_acceptor = with_settings(policy="paper")  # the faster of two would soon get everything
        front = NodePlan("front", engine=False, prices=(200_000, 600_000), config=first_acceptor)
        net = await open_net(front, NodePlan("back"), NodePlan("spare"))
        back = net.nodes["back"].stub
        assert back is not None
        back.order("fault=status_500")
        asked = len(back.received)
        for _ in range(40):  # until the broken one was tried in one of these
            reply = await buy(net.nodes["front"], body(stream=True))
            assert reply.status_code == 200, reply.text
            assert stream_receipt(reply.text)["receipt"]["status"] == 1
            if len(back.received) > asked:
                break
        assert len(back.received) > asked

    async def test_failover__peer_stalls_before_first_token__next_candidate_serves(self, open_net: NetMaker) -> None:
        net = await open_net(
            NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"), NodePlan("spare")
        )
        net.nodes["back"].stub.order("fault=hang")  # type: ignore[union-attr]
        replies = [await buy(net.nodes["front"], body(stream=True)) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 200]

    async def test_failover__peer_dies_after_the_first_token__honest_partial(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"))
        net.nodes["back"].stub.order("fault=crash,after=5")  # type: ignore[union-attr]
        reply = await buy(net.nodes["front"], body(stream=True))
        assert reply.status_code == 200
        receipt = stream_receipt(reply.text)["receipt"]
        assert receipt["status"] == 4
        assert 0 < receipt["completionTokens"] <= 6

    async def test_failover__own_engine_dead__peer_serves(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", prices=(200_000, 600_000)), NodePlan("back"))
        net.nodes["front"].stub.order("fault=status_500")  # type: ignore[union-attr]
        reply = await buy(net.nodes["front"], body(stream=True))
        assert reply.status_code == 200, reply.text
        assert stream_receipt(reply.text)["receipt"]["status"] == 1


class TestPolicy:
    async def test_policy__draining_peer__refuses_with_a_signed_reason(self, open_net: NetMaker) -> None:
        net = await open_net(
            NodePlan("front", engine=False, prices=(200_000, 600_000)),
            NodePlan("back", config=with_settings(draining=True)),
        )
        reply = await buy(net.nodes["front"], body())
        assert reply.status_code == 429
        shown = await draws_of(net.nodes["front"], reply_id(reply))
        step = next(one for one in shown["draws"][0]["record"]["steps"] if one["act"] == "refused")
        assert step["reason"] == "refused_draining"
        assert step["evidence"]["signature"].startswith("0x")

    async def test_policy__daily_budget_spent__buys_nothing_more(self, open_net: NetMaker, tmp_path: Path) -> None:
        broke = with_settings(daily_offload_budget=1)
        front = NodePlan("front", engine=False, prices=(200_000, 600_000), config=broke)
        net = await open_net(front, NodePlan("back"))
        reply = await buy(net.nodes["front"], body(max_tokens=500), max_price=20_000)
        assert reply.status_code == 429
        assert bought(tmp_path, net.nodes["front"]) == []

    async def test_policy__hop_limit_reached__is_not_passed_on_whatever_the_policy_says(
        self, open_net: NetMaker
    ) -> None:
        eager = with_settings(policy="paper", hop_limit=1)
        front = NodePlan("front", engine=False, prices=(200_000, 600_000), config=eager)
        net = await open_net(front, NodePlan("back"))
        node, back = net.nodes["front"], net.nodes["back"]
        for hops, status, served in ((1, 502, 0), (0, 200, 1)):
            sent = body()
            terms = replace(node.payer.terms(sent, int(time.time()) + 60, 2_000), hops=hops)
            headers = {"PAYMENT-SIGNATURE": node.payer.header(terms).decode()}
            reply = await node.http.post(CHAT, content=sent, headers=headers)
            assert reply.status_code == status, reply.text
            assert back.stub is not None
            assert len(back.stub.received) == served

    async def test_policy__deadline_out_of_reach__is_refused_at_once_with_retry_after(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", slots=1), NodePlan("back", slots=1))
        front = net.nodes["front"]
        front.stub.order("tokens=60,delay=0.02")  # type: ignore[union-attr]
        for _ in range(20):
            front.routed.view.meters.lengths.observe(60)
        sent = body(wwwserve={"finish_within": 0.001})
        began = time.monotonic()
        reply = await buy(front, sent)
        assert reply.status_code == 429, reply.text
        assert time.monotonic() - began < 5
        assert int(reply.headers["retry-after"]) >= 1

    async def test_policy__engine_full__the_queue_takes_turns_and_all_are_served(self, open_net: NetMaker) -> None:
        net = await open_net(NodePlan("front", slots=1))
        front = net.nodes["front"]
        front.stub.order("tokens=5,delay=0.01")  # type: ignore[union-attr]
        replies = await asyncio.gather(*(buy(front, body(f"number {n}")) for n in range(6)))
        assert [reply.status_code for reply in replies] == [200] * 6
        assert len(front.routed.view.queue) == 0


def reply_id(reply: Any) -> str:
    """The request id of a refusal that came with its receipt."""
    found: str = orjson.loads(base64.b64decode(reply.headers["payment-response"]))["receipt"]["requestId"]
    return found
