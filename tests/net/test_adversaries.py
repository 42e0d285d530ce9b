"""Peers that lie or split themselves, against a live dispatcher: what they gain."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.core.bids import ModelBid
from node.core.hashing import keccak, word
from node.core.routing.draw import StakeTable, draw_seed
from node.core.types import Address, Amount, Bytes32
from tests.net.lab import NetNode, NodePlan, running_net
from tests.net.test_offload import body, buy

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


def test_sybil__one_stake_split_over_twenty_identities__gets_the_same_share_of_first_places() -> None:
    others = [(Address(keccak(b"other" + word(n))[:20]), Amount(1_000)) for n in range(30)]
    whole = (Address(b"\x01" * 20), Amount(10_000))
    parts = [(Address(keccak(b"part" + word(n))[:20]), Amount(500)) for n in range(20)]
    one, many = StakeTable([*others, whole]), StakeTable([*others, *parts])
    mine = {address for address, _ in parts}
    draws = 4_000
    wins: Counter[str] = Counter()
    for n in range(draws):
        seed = draw_seed(Bytes32(keccak(word(n))), Bytes32(b"\x09" * 32), Address(b"\x05" * 20))
        wins["one"] += next(one.order(seed)) == whole[0]
        wins["many"] += next(many.order(seed)) in mine
    fair, noise = 0.25, 4 * (0.25 * 0.75 / draws) ** 0.5
    assert abs(wins["one"] / draws - fair) < noise
    assert abs(wins["many"] / draws - fair) < noise


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
