"""Pushes, thaws and claims on real contracts and real books, and what lost books learn from the chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.adapters.keys import recover
from node.adapters.ledger import migrate
from node.adapters.ledger.tower_book import SqlTowerBook
from node.core.fees import FeePolicy
from node.core.settlement import SignedClaim
from node.core.types import Address, Amount, Seconds
from node.ports.tower import TowerClaim
from node.services.sender import Sender
from node.services.tower_push import TowerPush
from node.services.watch_chain import ChainWatch
from node.services.watchtower import Watchtower
from tests.integration.chain_fixtures import OPERATOR, PAYER, Market, anvil, market
from tests.integration.test_settling_on_chain import ALLOTTED, ChainClock, Node, prepared
from tests.ledgers import opened_books

__all__ = ["anvil", "market"]
WINDOW = Seconds(86_400)


@dataclass
class Wire:
    """ports.Tower without HTTP."""

    tower: Watchtower
    name: str = "tower"

    async def push(self, claims: Sequence[SignedClaim]) -> None:
        await self.tower.take(claims)

    async def load_claims(self, payee: Address) -> Sequence[TowerClaim]:
        return [TowerClaim(held.claim, held.signature) for held in await self.tower.show(payee)]


def push_of(node: Node, tower: Watchtower) -> TowerPush:
    return TowerPush(
        settlements=node.books.settlement,
        book=node.books.recovery,
        build=node.settler().build_claim,
        clock=node.clock,
        payee=node.market.payee.address,
        towers=[Wire(tower)],
        every_receipts=2,
        every_seconds=10**6,
    )


def tower_of(market: Market, books, book: SqlTowerBook) -> Watchtower:  # type: ignore[no-untyped-def]
    return Watchtower(
        chain=market.chain,
        book=book,
        chain_book=books.chain,
        watch=ChainWatch(market.chain, books.chain, market.deployment.deploy_block),
        outbox=books.outbox,
        sender=Sender(market.chain, books.outbox, OPERATOR, ChainClock(market), FeePolicy()),
        domain=market.deployment.domain,
        recover=recover,
        payees=frozenset({market.payee.address}),
        thaw_seconds=WINDOW,
    )


async def test_tower__node_gone_and_payer_thaws__pays_what_was_pushed_in_the_second_half(
    market: Market, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'tower.db'}"
    migrate(url)
    async with prepared(market, f"sqlite:///{tmp_path / 'node.db'}") as node, opened_books(url) as books:
        book = SqlTowerBook(books.store)
        await book.prepare()
        tower = tower_of(market, books, book)
        await tower.run()
        push = push_of(node, tower)
        await node.serve(1, 100)
        assert await push.run() == 1
        await node.serve(2, 50)
        assert await push.run() == 0  # one receipt is not two, and no minute has passed
        await node.serve(3, 7)
        assert await push.run() == 1
        assert [held.claim.cumulative for held in await tower.show(market.payee.address)] == [157]
        # From here on the node is gone.
        payer = await market.payer_account()
        await market.escrow(payer, "requestThaw", (market.payee.address,), (ALLOTTED,))
        assert await tower.run() == 0
        market.anvil.rpc("evm_increaseTime", hex(WINDOW // 2 + 1))
        market.anvil.mine()
        assert await tower.run() == 1
        market.anvil.mine()
        assert await node.claimed() == 157
        assert await tower.run() == 0
        # The node comes back: what the tower claimed is its own claim, served by root.
        await node.watch.poll()
        (settled,) = await node.books.recovery.load_settled(node.key)
        assert await node.books.settlement.load_claim_of_root(settled.root) is not None
        assert (await node.settler().settle()).outbox_ids == ()


async def test_claimed_ahead__books_without_the_receipts__are_named_until_the_generation_changes(
    market: Market, tmp_path: Path
) -> None:
    async with prepared(market, f"sqlite:///{tmp_path / 'node.db'}") as node:
        await node.serve(1, 100)
        from node.core.settlement import Trigger

        await node.settler().settle(Trigger.FORCED)
        await node.settled()
        payee = market.payee.address
        assert await node.books.recovery.load_claimed_ahead(payee, 1) == []
        url = f"sqlite:///{tmp_path / 'lost.db'}"
        migrate(url)
        async with opened_books(url) as lost:
            await ChainWatch(market.chain, lost.chain, market.deployment.deploy_block).poll()
            (gap,) = await lost.recovery.load_claimed_ahead(payee, 1)
            assert (gap.charged, gap.proved, gap.key) == (Amount(0), Amount(100), node.key)
            assert PAYER.address in (gap.key.payer, gap.key.lane)
            assert await lost.recovery.load_claimed_ahead(payee, 2) == []
