"""The money path of a node on real contracts and real books: prepaid, admitted, charged, claimed, mined, confirmed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from node.adapters.chain.views import Views
from node.adapters.ledger import Books, migrate
from node.core.account import Admission
from node.core.errors import CoverTooLow, StaleGeneration
from node.core.fees import FeePolicy
from node.core.hashing import keccak
from node.core.messages import Voucher
from node.core.settlement import Trigger
from node.core.transactions import TxState
from node.core.types import ZERO32, Amount, LaneKey, Micros, Seconds
from node.services.sender import Sender
from node.services.settle import SettlePolicy, Settler
from node.services.watch_chain import ChainWatch
from tests.factories import make_terms
from tests.integration.chain_fixtures import OPERATOR, PAYER, Market, anvil, market
from tests.ledgers import opened_books, outcome

__all__ = ["anvil", "market"]
ALLOTTED = 5_000_000


@dataclass
class ChainClock:
    """Wall time as the development chain has it."""

    market: Market
    ahead: float = 0.0

    def now(self) -> float:
        stamp = self.market.anvil.rpc("eth_getBlockByNumber", "latest", False)["timestamp"]
        return int(stamp, 16) + self.ahead

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class Node:
    """The chain half of a node, over one database."""

    market: Market
    books: Books
    clock: ChainClock
    lease: int = 0

    @property
    def watch(self) -> ChainWatch:
        return ChainWatch(self.market.chain, self.books.chain, self.market.deployment.deploy_block)

    @property
    def sender(self) -> Sender:
        return Sender(self.market.chain, self.books.outbox, OPERATOR, self.clock, FeePolicy())

    def settler(self, currency_per_native: int = 0) -> Settler:
        return Settler(
            self.market.chain,
            self.books.settlement,
            OPERATOR,
            self.clock,
            self.market.deployment.domain,
            self.market.payee.address,
            sender=OPERATOR.address,
            policy=SettlePolicy(Amount(currency_per_native), Amount(0)),
            operator_of=lambda _: OPERATOR.address,
        )

    @property
    def key(self) -> LaneKey:
        return LaneKey(PAYER.address, self.market.payee.address, PAYER.address, 1)

    async def serve(self, number: int, charge: int, ceiling: int = 1_000_000, key: LaneKey | None = None) -> None:
        """Admit and close one request."""
        key = key or self.key
        terms = make_terms(request_id=keccak(b"%d" % number), max_price=Amount(charge + 10))
        voucher = Voucher(key.payer, key.payee, key.generation, Amount(ceiling), terms.struct_hash())
        signature = PAYER.sign(self.market.deployment.domain.digest(voucher.struct_hash()))
        admission = Admission(key, voucher, signature, terms, ZERO32, Seconds(int(self.clock.now())), self.lease)
        assert await self.books.ledger.admit(admission) is None
        now = Micros(int(self.clock.now()) * 1_000_000 + number)
        await self.books.ledger.close(admission, outcome(charge), now)

    async def claimed(self) -> int:
        views = Views(self.market.chain, await self.market.chain.fetch_head())
        return await views.lane_claimed(PAYER.address, self.market.payee.address, PAYER.address)

    async def settled(self, blocks: int = 6) -> None:
        """Send until everything is final."""
        for _ in range(blocks):
            await self.sender.run()
            self.market.anvil.mine()
            await self.watch.poll()


@asynccontextmanager
async def prepared(market: Market, url: str) -> AsyncIterator[Node]:
    """A payee with an operator, a payer with an allotment, all final and booked."""
    await market.set_operator()
    await market.prepay(ALLOTTED)
    market.anvil.mine(5)
    migrate(url)
    async with opened_books(url) as books:
        node = Node(market, books, ChainClock(market))
        await node.watch.poll()
        node.lease = await books.ledger.take_lease(Seconds(10**9))
        yield node


async def test_settle__charges_of_a_lane__are_claimed_mined_and_confirmed(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        for number, charge in enumerate((100, 250, 7)):
            await node.serve(number, charge)
        done = await node.settler().settle(Trigger.FORCED)
        assert (done.lanes, done.amount) == (1, 357)
        await node.settled()
        assert await node.claimed() == 357
        row = await node.books.outbox.load_row(done.outbox_ids[0])
        assert row is not None
        assert row.state is TxState.CONFIRMED
        lane = await node.books.ledger.load_lane(node.key)
        assert lane is not None
        assert (lane.claimed, lane.charged) == (357, 357)
        assert (await node.settler().settle(Trigger.FORCED)).outbox_ids == ()


async def test_settle__again_after_more_charges__pays_the_difference(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        await node.serve(1, 100)
        await node.settler().settle(Trigger.FORCED)
        await node.settled()
        await node.serve(2, 50)
        done = await node.settler().settle(Trigger.FORCED)
        assert done.amount == 50
        await node.settled()
        assert await node.claimed() == 150
        claim = await node.books.settlement.load_last_claim(node.key)
        assert claim is not None
        assert claim.claim.count == 2


async def test_settle__gas_worth_more_than_the_charges__waits(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        await node.serve(1, 100)
        assert (await node.settler(currency_per_native=3_000_000_000).settle()).outbox_ids == ()


async def test_settle__two_settlers_and_two_senders__one_transaction(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        await node.serve(1, 100)
        both = await asyncio.gather(*(node.settler().settle(Trigger.FORCED) for _ in range(2)))
        assert sorted(len(done.outbox_ids) for done in both) == [0, 1]
        await asyncio.gather(node.sender.run(), node.sender.run())
        await node.settled()
        assert await node.claimed() == 100
        assert await market.chain.fetch_nonce(OPERATOR.address) == 1


async def test_settle__claim_dropped_by_a_reorg__lands_again_and_is_paid_once(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        await node.serve(1, 100)
        await node.settler().settle(Trigger.FORCED)
        await node.sender.run()
        market.anvil.mine()
        await node.sender.run()
        await node.watch.poll()
        assert await node.claimed() == 100
        market.anvil.rpc("anvil_reorg", 2, [])
        market.anvil.mine()
        assert await node.claimed() == 0
        followed = await node.watch.poll()
        assert followed.rolled_back >= 2
        lane = await node.books.ledger.load_lane(node.key)
        assert lane is not None
        assert lane.claimed == 0
        await node.settled(8)
        assert await node.claimed() == 100
        lane = await node.books.ledger.load_lane(node.key)
        assert lane is not None
        assert lane.claimed == 100


async def test_watch__thaw_at_the_head__stops_admission_at_once_and_reorg_brings_it_back(
    market: Market, ledger_url: str
) -> None:
    async with prepared(market, ledger_url) as node:
        payer = await market.payer_account()
        await market.escrow(payer, "requestThaw", (market.payee.address,), (ALLOTTED,))
        await node.watch.poll()
        with pytest.raises(CoverTooLow):
            await node.serve(1, 100)
        market.anvil.rpc("anvil_reorg", 1, [])
        market.anvil.mine()
        await node.watch.poll()
        await node.serve(2, 100)


async def test_watch__new_generation__closes_the_old_one_at_once_and_opens_when_final(
    market: Market, ledger_url: str
) -> None:
    async with prepared(market, ledger_url) as node:
        await market.escrow(market.payee, "bumpGeneration", market.payee.address)
        await node.watch.poll()
        assert (await node.books.chain.load_payee(market.payee.address)).generation == 0
        with pytest.raises(StaleGeneration):
            await node.serve(1, 100)
        market.anvil.mine(5)
        await node.watch.poll()
        assert (await node.books.chain.load_payee(market.payee.address)).generation == 2


async def test_settle__charges_of_a_closed_generation__are_still_claimed(market: Market, ledger_url: str) -> None:
    async with prepared(market, ledger_url) as node:
        await node.serve(1, 100)
        await market.escrow(market.payee, "bumpGeneration", market.payee.address)
        market.anvil.mine(5)
        await node.watch.poll()
        assert (await node.settler().settle(Trigger.FORCED)).amount == 100
        await node.settled()
        assert await node.claimed() == 100


async def test_watch__twelve_random_reorgs__books_equal_a_fresh_index(market: Market, ledger_url: str) -> None:
    import random

    dice = random.Random(7)
    async with prepared(market, ledger_url) as node:
        payer = await market.payer_account()
        for _ in range(12):
            for _ in range(dice.randint(1, 2)):
                await market.escrow(payer, "requestThaw", (market.payee.address,), (dice.randint(1, 1000),))
            await node.watch.poll()
            market.anvil.rpc("anvil_reorg", dice.randint(1, 4), [])
            market.anvil.mine(dice.randint(1, 2))
            await node.watch.poll()
        pair = await node.books.ledger.load_pair(PAYER.address, market.payee.address)
        fresh_url = ledger_url + ".fresh" if ledger_url.startswith("sqlite") else None
        if fresh_url is None:
            return
        migrate(fresh_url)
        async with opened_books(fresh_url) as fresh:
            await replace(node, books=fresh).watch.poll()
            again = await fresh.ledger.load_pair(PAYER.address, market.payee.address)
        assert pair is not None
        assert again is not None
        assert pair.cover == again.cover
