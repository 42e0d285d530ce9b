"""`make reorgs N=200`: random schedules of blocks, reorganisations (depth 1-64) and polls; a real chain and real books.

In each reorganisation transactions vanish, move to another block or are replaced. After each schedule the books must
equal a fresh index of the chain as it is, table by table. Last line: `reorgs: cases C, violations V`.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from node.adapters.chain.accounts import UnlockedAccount
from node.adapters.chain.evm import EvmChain, connect
from node.adapters.clock import SystemClock
from node.adapters.ledger import migrate
from node.adapters.ledger.chain_tables import chain_event, payee_state, signer
from node.adapters.ledger.schema import open_engine
from node.adapters.ledger.tables import pair
from node.cli.deploying import deploy_set
from node.core.fees import GWEI
from node.core.transactions import Call, TxFields
from node.core.types import Seconds
from node.deployment import load_deployment
from node.services.watch_chain import ChainWatch
from tests.integration.chain_fixtures import DEV_ACCOUNT, PAYER, Anvil, Market, deploy_wishes, running_anvil
from tests.ledgers import opened_books

SLOTS = 33
"""anvil finalises 2 x this many blocks below the head: room for reorganisations of depth 64."""
DEEPEST = 64
CASES_PER_CHAIN = 20
"""A fresh chain now and then keeps the fresh index short."""
FRAME = 2
TABLES = {
    "chain_event": [c for c in chain_event.c if c.name != "id"],
    "pair": [pair.c.payer, pair.c.payee, pair.c.cover, pair.c.thawing, pair.c.thaw_end],
    "payee_state": list(payee_state.c),
    "signer": list(signer.c),
}


@dataclass
class Run:
    """One chain with its books, and what was counted."""

    market: Market
    url: str
    folder: Path
    dice: random.Random
    total: int = 5_000_000
    depths: list[int] = field(default_factory=list)

    @property
    def watch_block(self) -> int:
        return self.market.deployment.deploy_block

    async def act(self) -> str:
        """One transaction of ours, its block included; the raw bytes' hash."""
        what = self.dice.choice(("thaw", "cancel", "bump", "thaw"))
        payer = await self.market.payer_account()
        if what == "thaw":
            amounts = (self.dice.randint(1, 1000),)
            receipt = await self.market.escrow(payer, "requestThaw", (self.market.payee.address,), amounts)
        elif what == "cancel":
            await self.market.escrow(payer, "requestThaw", (self.market.payee.address,), (1,))
            receipt = await self.market.escrow(payer, "cancelThaw", (self.market.payee.address,))
        else:
            receipt = await self.market.escrow(self.market.payee, "bumpGeneration", self.market.payee.address)
        return "0x" + receipt.tx_hash.hex()

    def reorg(self, head: int, finalised: int) -> None:
        """Drop blocks above the finalised one; another transaction of ours may stand in their place."""
        depth = self.dice.randint(1, max(1, min(DEEPEST, head - finalised - FRAME)))
        self.depths.append(depth)
        moved = [[self._raw_thaw(head - depth), self.dice.randint(0, depth - 1)]] if self.dice.random() < 0.5 else []
        self.market.anvil.rpc("anvil_reorg", depth, moved)

    def _raw_thaw(self, block: int) -> str:
        """A signed thaw that fits on top of `block`: what the reorganised chain has instead."""
        payer = "0x" + PAYER.address.hex()
        nonce = int(self.market.anvil.rpc("eth_getTransactionCount", payer, hex(block)), 16)
        amounts = (self.dice.randint(1, 1000),)
        data = self.market.chain.escrow.encode_call("requestThaw", (self.market.payee.address,), amounts)
        fields = TxFields(nonce, 200_000, 100 * GWEI, GWEI, Call(self.market.deployment.escrow, data))
        return "0x" + self.market.chain.sign_tx(fields, PAYER, Seconds(0)).raw.hex()


async def run_case(run: Run) -> bool:
    """One schedule; whether the books equal a fresh index at its end."""
    async with opened_books(run.url) as books:
        watch = ChainWatch(run.market.chain, books.chain, run.watch_block)
        for _ in range(run.dice.randint(2, 4)):
            for _ in range(run.dice.randint(1, 3)):
                await run.act()
                run.market.anvil.mine(run.dice.randint(0, 20))
            if run.dice.random() < 0.7:
                await watch.poll()
            head = (await run.market.chain.fetch_head()).number
            run.reorg(head, (await run.market.chain.fetch_finalised()).number)
            await run.act()
        await watch.poll()
    booked = dump(run.url)
    return bool(booked["chain_event"]) and booked == await fresh_dump(run)


def dump(url: str) -> dict[str, list[tuple[object, ...]]]:
    """The tables that the chain alone decides, rows in order."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return {
                name: sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)
                for name, columns in TABLES.items()
            }
    finally:
        engine.dispose()


async def fresh_dump(run: Run) -> dict[str, list[tuple[object, ...]]]:
    """The same tables of books that begin today."""
    with tempfile.TemporaryDirectory(dir=run.folder) as folder:
        url = f"sqlite:///{folder}/fresh.db"
        migrate(url)
        async with opened_books(url) as books:
            await ChainWatch(run.market.chain, books.chain, run.watch_block).poll()
        return dump(url)


async def run_on(anvil: Anvil, folder: Path, seeds: range) -> tuple[int, list[int]]:
    """Violations and depths of the schedules of these seeds, on one chain."""
    file = folder / "deployment.json"
    await deploy_set(deploy_wishes(file), [anvil.url], DEV_ACCOUNT)
    deployment = load_deployment(file)
    chain: EvmChain = connect(deployment, [anvil.url], SystemClock().monotonic)
    try:
        accounts = await chain.request("eth_accounts")
        payee = UnlockedAccount(chain, bytes.fromhex(accounts[1][2:]))
        market = Market(anvil, deployment, file, chain, payee)
        anvil.give_coin(PAYER.address)
        await market.set_operator()
        await market.prepay(5_000_000)
        anvil.mine(2 * SLOTS + FRAME)
        url = f"sqlite:///{folder}/books.db"
        migrate(url)
        violations, depths = 0, []
        for seed in seeds:
            run = Run(market, url, folder, random.Random(seed))
            if not await run_case(run):
                violations += 1
                sys.stdout.write(f"seed {seed}: the books differ from a fresh index\n")
            depths += run.depths
        return violations, depths
    finally:
        await chain.close()


def run_all(count: int, first_seed: int = 1) -> tuple[int, list[int]]:
    """Violations and depths of `count` schedules."""
    violations, depths = 0, []
    for start in range(first_seed, first_seed + count, CASES_PER_CHAIN):
        seeds = range(start, min(start + CASES_PER_CHAIN, first_seed + count))
        with tempfile.TemporaryDirectory() as folder, running_anvil("--slots-in-an-epoch", str(SLOTS)) as anvil:
            found, seen = asyncio.run(run_on(anvil, Path(folder), seeds))
        violations += found
        depths += seen
        sys.stdout.write(f"  {seeds.stop - first_seed} of {count} schedules, {len(depths)} reorganisations\n")
        sys.stdout.flush()
    return violations, depths


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    violations, depths = run_all(arguments.count, arguments.seed)
    sys.stdout.write(f"depths {min(depths)} to {max(depths)}, {len(depths)} reorganisations\n")
    sys.stdout.write(f"reorgs: cases {arguments.count}, violations {violations}\n")
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
