"""Whole nodes in process: what is told of a bought answer, and the same request bought again of another payee."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from node.core.answers import is_named_by
from node.core.choices import canonical_json
from node.core.hashing import keccak
from node.core.quality import SIZES, Quality, Record
from node.core.ratings import Rating
from node.core.types import Flag
from node.ports.routing import Bargain, Twin
from node.services.duel_cases import choices_of
from tests.lab.node import DOMAIN
from tests.net.lab import Net, NodePlan, running_net, with_settings
from tests.net.test_offload import body, buy

PRICES = (200_000, 600_000)


@pytest_asyncio.fixture
async def net(tokens: Path, tmp_path: Path) -> AsyncIterator[Net]:
    everybody = with_settings(candidates=3, distinct_candidates=True)
    front = NodePlan("front", everybody, engine=False, prices=PRICES)
    plans = [front, NodePlan("back"), NodePlan("side")]
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(running_net(tokens, tmp_path, plans))


async def told(net: Net, **fields: object) -> list[Bargain]:
    """What the front's watcher hears of one request of a client's."""
    heard: list[Bargain] = []
    net.nodes["front"].routed.market.watch(heard.append)
    reply = await buy(net.nodes["front"], body(**fields))
    assert reply.status_code == 200, reply.text
    return heard


async def test_watch__streams_and_plain_answers__are_told_with_the_text_that_was_signed(net: Net) -> None:
    for stream in (True, False):
        (bargain,) = await told(net, stream=stream)
        answer = bargain.answer.answer
        assert answer.struct_hash() == bargain.receipt.answer_hash
        assert keccak(bargain.salt + bargain.body) == answer.request_hash
        assert keccak(bargain.salt + choices_of(bargain)) == answer.response_hash
    assert canonical_json([]) == b"[]"


async def test_twin__the_same_request_at_another_payee__is_signed_for_and_paid_by_itself(net: Net) -> None:
    (first,) = await told(net, stream=True)
    market, executor = net.nodes["front"].routed.market, first.answer.answer.executor
    other = next(node for node in net.nodes.values() if node.payee not in (executor, net.nodes["front"].payee))
    member = net.membership.member(other.payee)
    assert member is not None
    twin = Twin(first.salt, first.receipt.request_id)
    exchange = market.open(replace(first.purchase, member=member, twin=twin, start_seconds=30.0, idle_seconds=30.0))
    assert await exchange.start() == 200
    while await exchange.read():
        pass
    second = exchange.bargain
    assert second is not None
    answers = (first.answer.answer, second.answer.answer)
    assert answers[0].executor != answers[1].executor
    assert [one.request_id for one in answers] == [first.receipt.request_id] * 2
    assert answers[0].request_hash == answers[1].request_hash
    assert answers[0].nonce_commit != answers[1].nonce_commit
    held = await market.wallet.run(lambda books: books.load_purchase(second.receipt.key, second.receipt.request_id))
    assert held is not None
    assert is_named_by(answers[1], second.receipt, held.purchase.terms)
    assert DOMAIN.digest(answers[0].struct_hash()) != DOMAIN.digest(answers[1].struct_hash())


async def test_route__ratings_of_that_model_and_size__decide_who_is_asked(net: Net) -> None:
    """Both are equal but for duels: one is good at short requests, the other at long ones."""
    front, back, side = (net.nodes[name] for name in ("front", "back", "side"))
    good, bad = Rating(4.0, 0.1, 50), Rating(-4.0, 0.1, 50)
    model = keccak(b"stub")
    records = {(back.payee, model): Record(offsets={0: good, 1: bad}), (side.payee, model): Record(offsets={0: bad})}
    front.routed.services.router.quality = Quality(records).factor  # type: ignore[attr-defined]
    for length, wanted in ((1, back), (SIZES[0], side)) * 3:
        (bargain,) = await told(net, user="u" * length, stream=False, wwwserve={"quality": 1.0})
        assert bargain.answer.answer.executor == wanted.payee


async def test_watch__a_purchase_that_forbids_duels__is_not_kept(net: Net) -> None:
    (first,) = await told(net, stream=False)
    market = net.nodes["front"].routed.market
    assert market.keeps(first.purchase)
    assert not market.keeps(replace(first.purchase, flags=int(Flag.NO_DUEL)))
