"""Every way an RPC endpoint misbehaves, alone or beside an honest one: nothing wrong is booked, and it heals alone."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from node.adapters.chain.evm import EvmChain, connect
from node.core.errors import BadConfig, Broken, ChainUnavailable
from node.core.facts import ChainEvent
from node.services.watch_chain import ChainWatch
from tests.fakes.chain_books import MemoryChainBook
from tests.faults.rpc_proxy import ALL_FAULTS, FaultProxy, fault_proxy
from tests.integration.chain_fixtures import Market, anvil, market

__all__ = ["anvil", "market"]
SPEED = 20
"""All pauses of the adapter pass this much faster."""
HEAL_SECONDS = 120
"""Generous: a busy machine must not fail a run."""
DEADLINE = 0.5
"""Seconds for one call; the slow fault takes longer."""


def fast() -> float:
    return time.monotonic() * SPEED


@dataclass
class Watched:
    """A follower behind a proxy, and the truth beside it."""

    market: Market
    proxy: FaultProxy
    chain: EvmChain
    book: MemoryChainBook

    @property
    def watch(self) -> ChainWatch:
        return ChainWatch(self.chain, self.book, self.market.deployment.deploy_block)

    async def truth(self) -> list[ChainEvent]:
        book = MemoryChainBook()
        await ChainWatch(self.market.chain, book, self.market.deployment.deploy_block).poll()
        return book.events

    async def act(self) -> None:
        """Two events in one block, then an empty block: news that must not be missed."""
        payer = await self.market.payer_account()
        rpc = self.market.anvil.rpc
        rpc("evm_setAutomine", False)
        for amount in (10, 20):
            call = self.market.chain.escrow.encode_call("requestThaw", (self.market.payee.address,), (amount,))
            to = "0x" + self.market.deployment.escrow.hex()
            tx = {"from": "0x" + payer.address.hex(), "to": to, "data": "0x" + call.hex(), "gas": hex(200_000)}
            rpc("eth_sendTransaction", tx)
        rpc("evm_setAutomine", True)
        self.market.anvil.mine(2)

    async def poll_some(self) -> None:
        for _ in range(4):
            with contextlib.suppress(ChainUnavailable, BadConfig, Broken):
                await self.watch.poll()
            await asyncio.sleep(0.1)

    async def heal(self) -> None:
        async with asyncio.timeout(HEAL_SECONDS):
            while True:
                try:
                    await self.watch.poll()
                except (ChainUnavailable, BadConfig):
                    await asyncio.sleep(0.1)
                    continue
                if self.book.events == await self.truth():
                    return
                await asyncio.sleep(0.1)


@asynccontextmanager
async def watched(market: Market, *, has_second: bool) -> AsyncIterator[Watched]:
    await market.set_operator()
    await market.prepay(5_000_000)
    async with fault_proxy(market.anvil.url) as proxy:
        urls = [proxy.url, market.anvil.url] if has_second else [proxy.url]
        chain = connect(market.deployment, urls, fast, DEADLINE)
        try:
            made = Watched(market, proxy, chain, MemoryChainBook())
            await made.heal()  # patient: on a busy machine half a second may not be enough even for an honest endpoint
            yield made
        finally:
            await chain.close()


@pytest.mark.parametrize("has_second", [False, True], ids=["alone", "with_an_honest_one"])
@pytest.mark.parametrize("fault", ALL_FAULTS)
async def test_watch__endpoint_misbehaves__books_nothing_wrong_and_heals(
    market: Market,
    fault: str,
    has_second: object,
) -> None:
    async with watched(market, has_second=bool(has_second)) as node:
        node.proxy.set(fault)
        await node.act()
        await node.poll_some()
        truth = await node.truth()
        assert node.book.events == [event for event in truth if event.block_number <= node.book.head]
        node.proxy.set("")
        await node.act()
        await node.heal()
        assert sum(event.name == "ThawRequested" for event in node.book.events) == 4


@pytest.mark.parametrize(
    "fault", ["down", "slow", "garbage", "rate_limited", "cut_short", "refuses_all", "wrong_chain"]
)
async def test_watch__one_endpoint_of_two_useless__goes_on_without_it(market: Market, fault: str) -> None:
    async with watched(market, has_second=True) as node:
        node.proxy.set(fault)
        await node.act()
        await node.poll_some()
        assert node.book.events == await node.truth()


async def test_watch__dead_endpoint__is_not_asked_at_every_call(market: Market) -> None:
    async with watched(market, has_second=True) as node:
        node.proxy.set("down")
        await node.poll_some()
        before = node.proxy.asked
        for _ in range(10):
            await node.chain.fetch_fees()
        assert node.proxy.asked - before <= 6  # each time once more, as a kept connection may have been closed
