"""Peers that lie or split themselves, against a live dispatcher: what they gain."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.core.bids import ModelBid
from node.core.wire import hex_of
from tests.net.lab import NetNode, NodePlan, running_net, with_settings
from tests.net.test_offload import body, buy, draws_of

WITHIN = 20
AFTER = 10


def make_liar(node: NetNode) -> None:
    """It bids as if it were idle and a hundred times as fast as anybody."""
    answerer: Any = node.routed.services.answerer
    honest = answerer._outcome_for

    def lie(*asked: Any) -> Any:
        said = honest(*asked)
        if not isinstance(said, ModelBid):
            return said
        return replace(said, start_millis=1, token_micros=100, added_millis=0, in_flight=0, free_slots=255)

    answerer._outcome_for = lie


async def test_liar__claims_to_be_idle_and_fast__loses_its_work_within_twenty_requests(
    tokens: Path, tmp_path: Path
) -> None:
    plans = [NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("honest"), NodePlan("liar")]
    async with running_net(tokens, tmp_path, plans) as net:
        liar, honest = net.nodes["liar"], net.nodes["honest"]
        make_liar(liar)
        assert liar.stub is not None
        assert honest.stub is not None
        liar.stub.order("tokens=8,ttft=1.0,delay=0.1")
        served = []
        for _ in range(WITHIN + AFTER):
            await net.follow()
            before = len(liar.stub.received)
            reply = await buy(net.nodes["front"], body(max_tokens=8))
            assert reply.status_code == 200, reply.text
            served.append(len(liar.stub.received) > before)
        assert any(served), "it was believed at first, or this test shows nothing"
        assert not any(served[WITHIN:]), served


async def test_draining_peer__changes_its_settings_live__gets_no_more_work(tokens: Path, tmp_path: Path) -> None:
    plans = [NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"), NodePlan("spare")]
    async with running_net(tokens, tmp_path, plans) as net:
        back = net.nodes["back"]
        back.routed.services.policies.config = replace(back.routed.services.policies.config, draining=True)
        began = time.monotonic()
        for _ in range(5):
            reply = await buy(net.nodes["front"], body())
            assert reply.status_code == 200, reply.text
        assert back.stub is not None
        assert len(back.stub.received) == 0
        assert time.monotonic() - began < 120


async def test_draw__nearly_all_seats_fall_on_one_provider_that_says_no__the_next_of_the_order_serves(
    tokens: Path, tmp_path: Path
) -> None:
    front = NodePlan("front", engine=False, prices=(200_000, 600_000))
    refuses = with_settings(blocklist=frozenset({front.payee}))
    plans = [front, NodePlan("rich", config=refuses, stake=10**9), NodePlan("poor", stake=1)]
    async with running_net(tokens, tmp_path, plans) as net:
        reply = await buy(net.nodes["front"], body())
        assert reply.status_code == 200, reply.text
        shown = await draws_of(net.nodes["front"], reply.json()["usage"]["cost"]["request_id"])
        acts = {step["provider"]: step["act"] for step in shown["draws"][0]["record"]["steps"]}
        assert acts[hex_of(plans[1].payee)] == "refused"
        assert acts[hex_of(plans[2].payee)] == "chosen"
