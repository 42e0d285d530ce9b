"""An executor sees the same messages whether it serves a user's request or the second answer of a duel (threat D6)."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from node.core.duel_chain import Weighed
from node.core.errors import PeerRefused
from node.core.hashing import keccak
from node.core.routing.types import Bid
from node.core.types import Amount, Bytes32
from node.core.wire import hex_of
from node.ports.routing import Bargain
from node.services.duel import Duelling
from node.services.judging import CHAT
from node.services.probes import Probe, Probes
from tests.duels.test_market import told
from tests.net.lab import Net, NetNode, NodePlan, running_net, with_settings
from tests.net.neighbours import PlainPeers
from tests.net.test_offload import body, buy
from tests.net.test_standing import announce

PLANS = [NodePlan("front", engine=False, prices=(200_000, 600_000)), NodePlan("back"), NodePlan("side")]
OWN = ("requestId", "origin", "issuedAt", "signature")
"""What every question has of its own."""


class Seen:
    """What one node receives from others: every path, question and body."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[str, str, Any]] = []
        post, stream = PlainPeers.post_json, PlainPeers.open_stream

        async def posted(peers: PlainPeers, member: Any, path: str, sent: Any, limits: Any) -> Any:
            question = {name: value for name, value in sent.items() if name not in OWN}
            self.messages.append((member.endpoint, path, question))
            return await post(peers, member, path, sent, limits)

        def opened(peers: PlainPeers, member: Any, call: Any) -> Any:
            self.messages.append((member.endpoint, call.path, orjson.loads(call.body)))
            return stream(peers, member, call)

        patch.setattr(PlainPeers, "post_json", posted)
        patch.setattr(PlainPeers, "open_stream", opened)

    def taken(self, node: NetNode) -> list[tuple[str, Any]]:
        """What that node got since it was last looked at."""
        found = [(path, sent) for endpoint, path, sent in self.messages if endpoint == node.base_url]
        self.messages.clear()
        return found


@pytest_asyncio.fixture
async def net(tokens: Path, tmp_path: Path) -> AsyncIterator[Net]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(running_net(tokens, tmp_path, PLANS))


def duelling(net: Net) -> Duelling:
    front: Any = net.nodes["front"].routed
    unused: Any = None
    return Duelling(unused, unused, front.market, front.services.router, net.membership, unused)  # type: ignore[arg-type]


def plan_of(node: NetNode) -> NodePlan:
    return next(plan for plan in PLANS if plan.name == node.name)


def has_no_bid(net: Net, node: NetNode) -> None:
    """Nothing was heard of it."""


def has_room(net: Net, node: NetNode) -> None:
    announce(net, plan_of(node))


def is_stale(net: Net, node: NetNode) -> None:
    announce(net, plan_of(node), 3.5)


def bids(net: Net, node: NetNode, **members: int) -> None:
    """A fresh standing bid with other numbers than its own."""
    announce(net, plan_of(node))
    member = net.membership.found[node.payee]
    assert member.bid is not None
    rows = tuple(replace(row, **members) for row in member.bid.bid.models)
    signed = replace(member.bid, bid=replace(member.bid.bid, models=rows))
    net.membership.found[node.payee] = replace(member, bid=signed)


def is_full(net: Net, node: NetNode) -> None:
    """By its standing bid; it is glad to serve all the same."""
    bids(net, node, free_slots=0)


def says_no(net: Net, node: NetNode) -> None:
    node.routed.services.policies.config = with_settings(blocklist=frozenset({net.nodes["front"].payee}))


def is_dearer(net: Net, node: NetNode) -> None:
    """By its standing bid already, than what the client pays."""
    bids(net, node, price_prompt=10**9)


def is_dead(net: Net, node: NetNode) -> None:
    net.membership.kill(node.payee)


CASES: list[tuple[Callable[[Net, NetNode], None], list[str]]] = [
    (has_room, [CHAT]),
    (has_no_bid, ["/v1/bids", CHAT]),
    (is_stale, ["/v1/bids", CHAT]),
    (is_full, ["/v1/bids", CHAT]),
    (says_no, ["/v1/bids"]),
    (is_dearer, []),
    (is_dead, []),
]


async def first_and_other(net: Net) -> tuple[Bargain, NetNode]:
    """A bought answer, and the node that did not give it."""
    (first,) = await told(net, user="why?", max_tokens=8)
    took = first.answer.answer.executor
    return first, next(net.nodes[name] for name in ("back", "side") if net.nodes[name].payee != took)


@pytest.mark.parametrize(("state", "paths"), CASES, ids=[case[0].__name__ for case in CASES])
async def test_second__whatever_its_standing_bid__is_asked_and_sent_what_an_offload_is(
    net: Net, monkeypatch: pytest.MonkeyPatch, state: Callable[[Net, NetNode], None], paths: list[str]
) -> None:
    first, other = await first_and_other(net)
    state(net, other)
    seen = Seen(monkeypatch)
    twin = await duelling(net)._buy(first, Weighed(other.payee, other.payee, 1))
    as_second = seen.taken(other)
    wishes = {"wwwserve": {"providers": [hex_of(other.payee)]}}
    offload = await buy(net.nodes["front"], body(user="why?", max_tokens=8, **wishes))
    as_offload = seen.taken(other)
    assert [path for path, _ in as_second] == paths
    assert as_second == as_offload
    assert (twin is not None, offload.status_code == 200) == (CHAT in paths, CHAT in paths)


async def test_second__under_way__takes_its_place_in_the_standing_bid(net: Net) -> None:
    """While it fills the last free slot the next offload asks first, as behind any other offload."""
    first, other = await first_and_other(net)
    has_room(net, other)
    router: Any = net.nodes["front"].routed.services.router
    purchase = replace(first.purchase, member=net.membership.found[other.payee])
    async with router.asked(purchase, first.answer.answer.model) as sells:
        assert sells
        assert router.peers.sent_since(other.payee, 0.0) == 1
    assert router.peers.sent_since(other.payee, 0.0) == 0


async def test_second__under_way__looks_late_only_when_all_of_it_should_have_come(net: Net) -> None:
    """Its events are counted by nobody: executors would lose work to others while they serve second answers."""
    first, other = await first_and_other(net)
    has_room(net, other)
    router: Any = net.nodes["front"].routed.services.router
    purchase = replace(first.purchase, member=net.membership.found[other.payee])
    async with router.asked(purchase, first.answer.answer.model):
        (away,) = router.peers.away[other.payee]
        forecast = away.promise
        bid = Bid(other.payee, Amount(1), forecast, 0, has_slot=True)
        assert purchase.asked is not None
        whole = 8 * forecast.token_seconds
        assert whole > 0
        assert router.peers.corrected(bid, away.sent_at + 0.9 * whole) == bid
        assert router.peers.corrected(bid, away.sent_at + 9.0 + 9 * whole) != bid


async def test_second__client_named_who_may_serve_it__is_sent_to_nobody_else(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = {"wwwserve": {"providers": [hex_of(net.nodes["back"].payee)]}}
    (first,) = await told(net, user="why?", max_tokens=8, **wishes)
    other = net.nodes["side"]
    seen = Seen(monkeypatch)
    assert await duelling(net)._buy(first, Weighed(other.payee, other.payee, 1)) is None
    assert seen.taken(other) == []


async def test_probe__peer_without_a_fresh_bid__is_asked_first_by_the_number_it_will_count(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    back, front = net.nodes["back"], net.nodes["front"]
    is_stale(net, back)
    seen = Seen(monkeypatch)
    await told(net, user="why?", max_tokens=8, wwwserve={"providers": [hex_of(back.payee)]})
    (_, question), _ = seen.taken(back)

    def counted(sent: bytes) -> int:
        assert orjson.loads(sent)["messages"][0]["content"] == "why?"
        return int(question["promptTokens"])

    model = (await front.http.get("/v1/models")).json()["data"][0]["id"]
    probe = Probe(model, keccak(model.encode()), ["why?"], 8, Amount(10**6), Amount(10**6), Amount(10**9), counted)
    sellers: Any = front.routed.services.router
    await Probes(front.payee, probe, front.routed.market, sellers, net.membership, bytes).run()  # type: ignore[arg-type]
    messages = seen.taken(back)
    assert [path for path, _ in messages] == ["/v1/bids", CHAT]
    assert messages[0][1] == question


async def test_asked__purchase_of_no_request__is_refused(net: Net) -> None:
    (first,) = await told(net, user="why?", max_tokens=8)
    router: Any = net.nodes["front"].routed.services.router
    with pytest.raises(PeerRefused):
        async with router.asked(replace(first.purchase, asked=None), Bytes32(bytes(32))):
            pass
