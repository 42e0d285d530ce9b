"""Standing bids instead of questions: nobody is asked, the way is still signed, the peer's own settings still hold."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from node.core.bids import Bid, SignedBid
from node.core.hashing import keccak
from node.core.routing.types import RouteRequest, Skip
from node.core.types import ZERO32, Address, Micros
from node.core.wire import hex_of
from node.services.bids import Answerer
from tests.lab.fixtures import CHAT
from tests.lab.node import DOMAIN
from tests.net.lab import Net, NetNode, NodePlan, running_net, with_settings
from tests.net.test_adversaries import AFTER, WITHIN, make_liar
from tests.net.test_offload import body, bought, buy, draws_of

FRONT = NodePlan("front", engine=False, prices=(200_000, 600_000))


def announce(net: Net, plan: NodePlan, age_seconds: float = 0.0) -> None:
    """What gossip would bring: the node's standing bid, in everybody's view."""
    rows = tuple(net.nodes[plan.name].routed.services.answerer.standing_rows())
    bid = Bid(plan.payee, ZERO32, 1, Micros(int(time.time() * 1e6)), rows)
    signed = SignedBid(bid, plan.operator.sign(DOMAIN.digest(bid.struct_hash())))
    member = net.membership.found[plan.payee]
    net.membership.found[plan.payee] = replace(member, bid=signed, bid_age_seconds=age_seconds)


class Seen:
    """Who was asked, and by which way purchases came."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.questions = 0
        self.paths: list[tuple[Address, ...]] = []
        answer, takes = Answerer.answer, Answerer.takes

        def counted(one: Answerer, question: object) -> dict[str, Any]:
            self.questions += 1
            return answer(one, question)

        def noted(one: Answerer, name: str, request: RouteRequest) -> Skip | None:
            self.paths.append(request.path)
            return takes(one, name, request)

        patch.setattr(Answerer, "answer", counted)
        patch.setattr(Answerer, "takes", noted)


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def test_offload__peer_has_a_fresh_standing_bid__is_bought_from_unasked_by_a_signed_way(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = NodePlan("back")
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [FRONT, back]))
    announce(net, back)
    seen = Seen(monkeypatch)
    reply = await buy(net.nodes["front"], body(max_tokens=8))
    assert reply.status_code == 200, reply.text
    assert (seen.questions, seen.paths) == (0, [(FRONT.payee,)])
    shown = await draws_of(net.nodes["front"], reply.json()["usage"]["cost"]["request_id"])
    (chosen,) = (step for step in shown["draws"][0]["record"]["steps"] if step["act"] == "chosen")
    assert (chosen["provider"], chosen["evidence"]["requestId"]) == (hex_of(back.payee), hex_of(ZERO32))


@pytest.mark.parametrize("why", ["stale", "policy"])
async def test_offload__standing_bid_is_stale_or_not_wanted__the_peer_is_asked(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    front = FRONT if why == "stale" else replace(FRONT, config=with_settings(standing_bids=False))
    back = NodePlan("back")
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [front, back]))
    announce(net, back, 3.5 if why == "stale" else 0.0)
    seen = Seen(monkeypatch)
    reply = await buy(net.nodes["front"], body(max_tokens=8))
    assert reply.status_code == 200, reply.text
    assert (seen.questions, seen.paths) == (1, []), "who was asked has agreed: it is not judged twice"


async def test_purchase__peer_was_not_asked_and_its_settings_say_no__is_refused_and_costs_nothing(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack
) -> None:
    back = NodePlan("back", config=with_settings(blocklist=frozenset({FRONT.payee})))
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [FRONT, back]))
    announce(net, back)
    reply = await buy(net.nodes["front"], body(max_tokens=8))
    assert reply.status_code == 429, reply.text
    assert bought(tmp_path, net.nodes["front"]) == []
    stub = net.nodes["back"].stub
    assert stub is not None
    assert not stub.received


async def test_purchase__the_best_standing_bid_says_no_after_all__the_next_candidate_serves(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack
) -> None:
    refuses, back = NodePlan("refuses", config=with_settings(blocklist=frozenset({FRONT.payee}))), NodePlan("back")
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [FRONT, refuses, back]))
    make_liar(net.nodes["refuses"])  # it would win every comparison
    for plan in (refuses, back):
        announce(net, plan)
    chosen = []
    for _ in range(3):
        reply = await buy(net.nodes["front"], body(max_tokens=8))
        assert reply.status_code == 200, reply.text
        shown = await draws_of(net.nodes["front"], reply.json()["usage"]["cost"]["request_id"])
        steps = [step for draw in shown["draws"] for step in draw["record"]["steps"]]
        chosen.append([step["provider"] for step in steps if step["act"] == "chosen"])
    assert [hex_of(refuses.payee), hex_of(back.payee)] in chosen, "chosen, refused, then the next"
    assert all(one[-1] == hex_of(back.payee) for one in chosen)
    assert len(bought(tmp_path, net.nodes["front"])) == len(chosen)


async def test_purchase__own_name_on_the_signed_way__is_refused(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack
) -> None:
    back = NodePlan("back")
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [FRONT, back]))
    node = net.nodes["back"]
    assert (await bought_as_a_node(node, FRONT.payee)).status_code == 200
    refused = await bought_as_a_node(node, back.payee)
    assert (refused.status_code, refused.json()["reason"]) == (429, "on_path")


async def bought_as_a_node(node: NetNode, passed: Address) -> Any:
    """A purchase with one hop behind it, by way of `passed`."""
    sent = orjson.dumps(orjson.loads(body(max_tokens=8)) | {"wwwserve": {"path": [hex_of(passed)]}})
    terms = replace(node.payer.terms(sent, int(time.time()) + 60, 2_000), hops=1, origin_hash=keccak(passed))
    headers = {"PAYMENT-SIGNATURE": node.payer.header(terms).decode()}
    return await node.http.post(CHAT, content=sent, headers=headers)


async def test_liar__publishes_standing_bids_of_an_idle_fast_node__loses_its_work_within_twenty_requests(
    tokens: Path, tmp_path: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, liar = NodePlan("honest"), NodePlan("liar")
    net = await stack.enter_async_context(running_net(tokens, tmp_path, [FRONT, honest, liar]))
    seen, stub = Seen(monkeypatch), net.nodes["liar"].stub
    assert stub is not None
    make_liar(net.nodes["liar"])
    stub.order("tokens=8,ttft=1.0,delay=0.1")
    served = []
    for _ in range(WITHIN + AFTER):
        await net.follow()
        for plan in (honest, liar):
            announce(net, plan)
        before = len(stub.received)
        reply = await buy(net.nodes["front"], body(max_tokens=8))
        assert reply.status_code == 200, reply.text
        served.append(len(stub.received) > before)
    assert seen.questions == 0, "nobody was asked: the standing bids alone were believed"
    assert any(served), "it was believed at first, or this test shows nothing"
    assert not any(served[WITHIN:]), served
