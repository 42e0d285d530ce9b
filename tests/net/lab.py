"""Several whole nodes in one process that offload to each other; chain, membership and connections are fakes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from node.adapters.engine.client import EngineSettings
from node.adapters.keys import LocalSigner, Secret
from node.api.app import RoutedServices
from node.client.over_aiohttp import AiohttpTransport
from node.core.folds import ProviderView
from node.core.routing.config import ProviderConfig
from node.core.types import Address, Amount
from node.routed import Neighbours, Routed, RoutingWish, build_routing
from node.services.routing_policies import Policies
from tests.fakes.engine_stub import EngineStub, StubSettings, running_stub
from tests.lab.node import LabNode, LabOptions, running_node
from tests.lab.payer import LabPayer
from tests.net.neighbours import FakeMembership, PlainPeers

STAKE = 1_000


@dataclass
class NetNode:
    """One node of the network."""

    name: str
    payee: Address
    lab: LabNode
    routed: Routed
    stub: EngineStub | None
    payer: LabPayer
    http: httpx.AsyncClient

    @property
    def base_url(self) -> str:
        return self.lab.base_url


@dataclass
class NodePlan:
    """What one node is like. `engine`: whether it has one."""

    name: str
    config: ProviderConfig = field(default_factory=ProviderConfig)
    engine: bool = True
    slots: int = 4
    prices: tuple[int, int] = (100_000, 300_000)
    stake: int = STAKE
    stub: dict[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return int.from_bytes(self.name.encode(), "big") % 250 + 1

    @property
    def payee(self) -> Address:
        return Address(bytes([self.number]) * 20)

    @property
    def operator(self) -> LocalSigner:
        return LocalSigner(Secret(bytes([self.number]) * 32))


@dataclass
class Net:
    """The network."""

    membership: FakeMembership
    nodes: dict[str, NetNode]

    async def follow(self) -> None:
        """What each node's clock would do: keep the lease, read the registry, covers, offers."""
        await asyncio.gather(*(node.lab.serving._parts.lease.renew() for node in self.nodes.values()))
        await asyncio.gather(*(node.routed.follow() for node in self.nodes.values()))


@asynccontextmanager
async def running_net(tokens: Path, folder: Path, plans: list[NodePlan]) -> AsyncIterator[Net]:
    """Start everybody, introduce them to each other."""
    async with AsyncExitStack() as stack:
        net = Net(FakeMembership(), {})
        lanes = tuple(plan.operator.address for plan in plans)
        listed = [ProviderView(plan.payee, is_listed=True, stake=Amount(plan.stake)) for plan in plans]
        for plan in plans:
            net.nodes[plan.name] = await _open(tokens, folder, plan, net, lanes, stack)
        for plan in plans:
            book = net.nodes[plan.name].lab.book
            book.providers = listed
            book.operators.update({other.payee: other.operator.address for other in plans})
            net.membership.add(plan.payee, plan.operator.address, net.nodes[plan.name].base_url)
        await net.follow()
        yield net


async def _open(
    tokens: Path, folder: Path, plan: NodePlan, net: Net, lanes: tuple[Address, ...], stack: AsyncExitStack
) -> NetNode:
    files = {"tokenizer": tokens / "tokenizer.json", "template": tokens / "chat_template.jinja"}
    stub = await stack.enter_async_context(running_stub(StubSettings(**files, **plan.stub))) if plan.engine else None
    peers, plain = PlainPeers(), AiohttpTransport(guard=False)
    stack.push_async_callback(peers.close)
    made: list[Routed] = []

    def route(parts: Any, books: Any, book: Any) -> RoutedServices:
        wish = RoutingWish(
            wallet=folder / f"{plan.name}-wallet.db",
            lane=plan.operator,
            exposure=Amount(10**12),
            engine_slots=plan.slots,
            policies=lambda: Policies(config=plan.config),
        )
        made.append(build_routing(parts, book, books.draws, Neighbours(net.membership, peers, plain), wish))
        return made[0].services

    options = LabOptions(
        tokens,
        folder / f"{plan.name}.db",
        (stub.base_url,) if stub else (),
        engine=EngineSettings("", first_byte_seconds=5.0, idle_seconds=5.0),
        payee=plan.payee,
        operator=plan.operator,
        payers=lanes,
        prices=plan.prices,
        route=route,
    )
    lab = await stack.enter_async_context(running_node(options))
    stack.push_async_callback(made[0].close)
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=lab.base_url, timeout=60))
    return NetNode(plan.name, plan.payee, lab, made[0], stub, lab.payer(), http)


def with_settings(**settings: Any) -> ProviderConfig:
    """Settings over the defaults."""
    return replace(ProviderConfig(), **settings)
