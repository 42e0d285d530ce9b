"""A payee that sells and settles through a faulty endpoint: real books, settler and sender, all times divided by 20.

What it believes is compared with the chain itself, asked behind the faulty endpoint's back.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node.adapters.chain.views import Views
from node.adapters.ledger import Books, migrate, open_ledger
from node.core.account import Admission
from node.core.errors import BadConfig, Broken, ChainUnavailable
from node.core.fees import FeePolicy
from node.core.hashing import keccak
from node.core.messages import Voucher
from node.core.settlement import Trigger
from node.core.transactions import OutboxRow, TxState
from node.core.types import ZERO32, Amount, LaneKey, Micros, Seconds
from node.services.sender import Sender
from node.services.settle import SettlePolicy, Settler
from node.services.watch_chain import ChainWatch
from tests.factories import make_terms
from tests.integration.chain_fixtures import OPERATOR, PAYER
from tests.integration.test_rpc_faults import SPEED, Watched
from tests.ledgers import outcome

PATIENCE_SECONDS = Seconds(60 // SPEED)
HEAL_SECONDS = 120.0
"""Generous: a busy machine must not fail a run."""
CHARGE = 10
OVER = frozenset({TxState.CONFIRMED, TxState.REVERTED, TxState.NEEDLESS})


class CannotHealError(Exception):
    """The books still differ from the chain."""


class WallClock:
    """ports.Clock, as fast as the machine's: what is divided by 20 are the settings."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() * SPEED


@dataclass
class Selling:
    """The payee. `sent` are the outbox rows it ever wanted."""

    node: Watched
    books: Books
    lease: int
    clock: WallClock
    sold: int = 0
    sent: list[int] = field(default_factory=list)

    @property
    def key(self) -> LaneKey:
        return LaneKey(PAYER.address, self.node.market.payee.address, PAYER.address, 1)

    @property
    def settler(self) -> Settler:
        market = self.node.market
        return Settler(
            self.node.chain,
            self.books.settlement,
            OPERATOR,
            self.clock,
            market.deployment.domain,
            market.payee.address,
            sender=OPERATOR.address,
            policy=SettlePolicy(Amount(0), Amount(0)),
            operator_of=lambda _: OPERATOR.address,
        )

    async def work(self) -> None:
        """One round: sell, then everything that follows from sales."""
        await self.sell()
        await self.carry_on()

    async def carry_on(self) -> None:
        """Follow, settle, send. Only what the world may do is suppressed; a bug of ours is not."""
        with contextlib.suppress(ChainUnavailable, BadConfig, Broken):  # Broken: a final block has another hash now
            await self.follow()
        with contextlib.suppress(ChainUnavailable, BadConfig):
            self.sent += (await self.settler.settle(Trigger.FORCED)).outbox_ids
        with contextlib.suppress(ChainUnavailable, BadConfig):
            policy = FeePolicy(patience_seconds=PATIENCE_SECONDS)
            await Sender(self.node.chain, self.books.outbox, OPERATOR, self.clock, policy).run()

    async def sell(self) -> None:
        """One request, admitted and charged."""
        self.sold += 1
        terms = make_terms(request_id=keccak(b"%d" % self.sold), max_price=Amount(2 * CHARGE))
        voucher = Voucher(self.key.payer, self.key.payee, 1, Amount(1_000_000), terms.struct_hash())
        signature = PAYER.sign(self.node.market.deployment.domain.digest(voucher.struct_hash()))
        now = int(self.clock.now())
        admission = Admission(self.key, voucher, signature, terms, ZERO32, Seconds(now), self.lease)
        await self.books.ledger.admit(admission)
        await self.books.ledger.close(admission, outcome(CHARGE), Micros(now * 1_000_000))

    async def follow(self) -> None:
        await ChainWatch(self.node.chain, self.books.chain, self.node.market.deployment.deploy_block).poll()

    async def claimed_on_chain(self) -> int:
        market = self.node.market
        views = Views(market.chain, await market.chain.fetch_head())
        return await views.lane_claimed(self.key.payer, self.key.payee, self.key.lane)

    async def wrongly_booked(self) -> str:
        """A total the chain never had, a transaction taken for mined that is not, or for failed that is mined."""
        lane = await self.books.ledger.load_lane(self.key)
        claimed = await self.claimed_on_chain()
        if lane is not None and lane.claimed > claimed:
            return f"booked {lane.claimed} as claimed where the chain has {claimed}"
        for row in await self.rows():
            is_mined = any([await self.is_mined(attempt.tx_hash) for attempt in row.attempts])
            if row.state in OVER and is_mined != (row.state is TxState.CONFIRMED):
                return f"transaction {row.id} is {row.state.value}, on chain: {is_mined}"
        return ""

    async def is_mined(self, tx_hash: bytes) -> bool:
        receipt = await asyncio.to_thread(self.node.market.anvil.rpc, "eth_getTransactionReceipt", "0x" + tx_hash.hex())
        return receipt is not None

    async def rows(self) -> list[OutboxRow]:
        found = [await self.books.outbox.load_row(number) for number in self.sent]
        return [row for row in found if row is not None]

    async def heal(self) -> None:
        """Sell once more, then work until every charge is claimed and final. Raises CannotHealError."""
        await self.sell()
        try:
            async with asyncio.timeout(HEAL_SECONDS):
                while not await self.is_healed():
                    await self.carry_on()
                    self.node.market.anvil.mine(2)
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise CannotHealError(await self.described()) from None
        if wrong := await self.wrongly_booked():
            raise CannotHealError(wrong)
        paid = sum(event.number("paid") for event in await self.node.truth() if event.name == "Settled")
        if paid != await self.claimed_on_chain():
            raise CannotHealError(f"{paid} was paid, {await self.claimed_on_chain()} is claimed")

    async def described(self) -> str:
        """Where it stands, for the report of a failed case."""
        lane = await self.books.ledger.load_lane(self.key)
        rows = [f"{row.id} {row.state.value} {row.reason}" for row in await self.rows() if row.state not in OVER]
        totals = f"{lane.charged} charged, {lane.claimed} claimed" if lane else "no lane"
        return f"{totals}, {await self.claimed_on_chain()} claimed on chain, open: {rows}"

    async def is_healed(self) -> bool:
        """Everything sold is claimed and known, and no transaction hangs."""
        lane = await self.books.ledger.load_lane(self.key)
        is_claimed = lane is not None and lane.charged == lane.claimed
        return is_claimed and all(row.state in OVER for row in await self.rows())


@asynccontextmanager
async def selling(node: Watched, folder: Path) -> AsyncIterator[Selling]:
    """A payee with an operator, a payer with an allotment, all booked before the fault begins."""
    url = f"sqlite:///{folder}/payee.db"
    migrate(url)
    clock = WallClock()
    books = open_ledger(url, clock, "payee")
    books.start()
    try:
        node.market.anvil.mine(5)
        payee = Selling(node, books, await books.ledger.take_lease(Seconds(10**9)), clock)
        await payee.follow()
        yield payee
    finally:
        await books.stop()
