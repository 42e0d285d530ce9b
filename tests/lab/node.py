"""A whole node on a free loopback port of this process: real services, ledger file and uvicorn; the chain is a fake."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import insert

from node.adapters.engine.client import EngineSettings, HttpEngine
from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.ledger import Books, SqlLedger, migrate, open_ledger
from node.adapters.ledger.chain_tables import payee_state
from node.adapters.ledger.schema import open_engine
from node.adapters.ledger.tables import pair
from node.adapters.tokens.counter import load_artifacts, load_counter
from node.api.app import ApiServices, RoutedServices, create_app
from node.api.metrics import Metrics
from node.api.server import server_config
from node.core.facts import Block, Cursor
from node.core.folds import PayeeView, ProviderView
from node.core.hashing import Domain
from node.core.messages import ModelOffer, Offer
from node.core.types import Address, Amount, LaneKey, Seconds
from node.core.voucher import Standing
from node.ports.ledger import Ledger
from node.services.backends import Backend, Backends
from node.services.chain_view import ChainView
from node.services.lease import LEASE_SECONDS, Lease
from node.services.ledger_rows import LedgerRows
from node.services.offers import OfferBook, SignedOffer
from node.services.parts import Parts, ServeSettings
from node.services.readiness import Readiness
from node.services.receipts import Receipts
from node.services.serve import Serving
from node.services.x402 import Market
from tests.lab.payer import LabPayer

PAYEE = Address(b"\xbb" * 20)
CURRENCY = Address(b"\xcc" * 20)
DOMAIN = Domain.of(31337, Address(b"\xee" * 20))
OPERATOR = LocalSigner(Secret(b"\x07" * 32))
COVER = 10**15


class SystemClock:
    """ports.Clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class FakeBook:
    """The part of ports.ChainBook that serving reads: one generation, every payer's own key is live."""

    generation: int = 1
    cover: int = COVER
    head_at: float = field(default_factory=time.time)
    operators: dict[Address, Address] = field(default_factory=dict)
    providers: list[ProviderView] = field(default_factory=list)
    operator: Address = OPERATOR.address

    async def load_cursor(self) -> Cursor | None:
        block = Block(1, b"\x01" * 32, b"\x00" * 32, Seconds(int(self.head_at)))  # type: ignore[arg-type]
        return Cursor(block, 1)

    async def load_block(self, number: int) -> Block | None:
        cursor = await self.load_cursor()
        return cursor.head if cursor is not None and number == cursor.head.number else None

    async def load_providers(self) -> list[ProviderView]:
        return self.providers

    async def load_payee(self, payee: Address) -> PayeeView:
        operator = self.operators.get(payee, self.operator)
        return PayeeView(self.generation, operator, self.generation, {self.generation: operator})

    async def load_standing(self, payee: Address, payer: Address, _signer: Address) -> Standing:
        return Standing(payee, self.generation, payer, Amount(self.cover))


@dataclass(frozen=True)
class LabOptions:
    """What a test or a bench may change."""

    tokens: Path
    database: Path
    engines: tuple[str, ...]
    engine: EngineSettings = field(default_factory=lambda: EngineSettings(""))
    serve: ServeSettings = field(default_factory=ServeSettings)
    wrap_ledger: Callable[[SqlLedger], Ledger] = lambda ledger: ledger
    lease_seconds: Seconds = LEASE_SECONDS
    """Nobody renews it here."""
    context_length: int = 2048
    max_completion: int = 512
    payee: Address = PAYEE
    operator: LocalSigner = OPERATOR
    payers: tuple[Address, ...] = ()
    """Others than the lab's own payer who have cover here."""
    prices: tuple[int, int] = (100_000, 300_000)
    route: "Callable[[Parts, Books, FakeBook], RoutedServices | None]" = lambda _parts, _books, _book: None
    """Puts routing together, for nodes that have peers."""


@dataclass
class LabNode:
    """A running node and what a test wants to reach in it."""

    base_url: str
    offer: Offer
    serving: Serving
    ledger: SqlLedger
    book: FakeBook
    engines: list[HttpEngine]
    payers: list[Address] = field(default_factory=list)
    routed: RoutedServices | None = None

    def payer(self, **changes: Any) -> LabPayer:
        return LabPayer(DOMAIN, self.offer.payee, self.offer, **changes)


def make_offer(options: LabOptions) -> Offer:
    counter = load_counter(options.tokens)
    now = int(time.time())
    model = ModelOffer(
        "stub",
        counter.tokenizer_hash,
        counter.template_hash,
        Amount(options.prices[0]),
        Amount(options.prices[1]),
        options.context_length,
        options.max_completion,
    )
    return Offer(options.payee, 1, (model,), Amount(0), Seconds(now), Seconds(now + 86_400))


def seed(url: str, options: "LabOptions", cover: int = COVER) -> None:
    """What the chain's events would have booked."""
    payers = [LabPayer(DOMAIN, options.payee, make_offer(options)).address, *options.payers]
    engine = open_engine(url)
    rows = [
        {"payer": payer, "payee": options.payee, "cover": cover, "committed": 0, "thawing": 0, "thaw_end": 0}
        for payer in payers
    ]
    state = {"payee": options.payee, "generation": 1, "operator": options.operator.address, "head_generation": 1}
    with engine.begin() as connection:
        connection.execute(insert(pair), rows)
        connection.execute(insert(payee_state), [state])
    engine.dispose()


@contextlib.asynccontextmanager
async def running_node(options: LabOptions, port: int = 0, cover: int = COVER) -> AsyncIterator[LabNode]:
    """Start everything, yield, stop everything."""
    url = f"sqlite:///{options.database}"
    migrate(url)
    seed(url, options, cover)
    clock = SystemClock()
    books = open_ledger(url, clock)
    books.start()
    engines = [HttpEngine(replace(options.engine, url=engine)) for engine in options.engines]
    node = await _assemble(options, clock, books, engines)
    node.book.cover = cover
    app = node.app
    server = uvicorn.Server(server_config(app, "127.0.0.1", port))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined, method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    node.base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield node
    finally:
        await node.serving.drain(5)
        server.should_exit = True
        await task
        for engine in engines:
            engine.close()
        await books.stop()


@dataclass
class _Node(LabNode):
    app: Any = None


async def _assemble(options: LabOptions, clock: SystemClock, books: Books, engines: list[HttpEngine]) -> _Node:
    book, offer, counter = FakeBook(), make_offer(options), load_counter(options.tokens)
    ledger, metrics = options.wrap_ledger(books.ledger), Metrics()
    lease = Lease(ledger, options.lease_seconds)
    await lease.take()
    operator = options.operator
    book.operators[options.payee] = operator.address
    chain = ChainView(book, clock, options.payee)  # type: ignore[arg-type]
    signed = SignedOffer(offer, operator.sign(DOMAIN.digest(offer.struct_hash())), operator.address)
    offers = OfferBook([signed], load_artifacts(options.tokens))
    parts = Parts(
        market=Market(options.payee, DOMAIN, CURRENCY),
        ledger=ledger,
        chain=chain,
        offers=offers,
        counters={(counter.tokenizer_hash, counter.template_hash): counter},
        backends=Backends({"stub": [Backend(engine, "stub") for engine in engines]}, clock),
        signer=operator,
        recover=recover,
        clock=clock,
        lease=lease,
        observer=metrics,
    )
    routed = options.route(parts, books, book)
    if routed is not None:
        parts = replace(parts, router=routed.router)
    serving = Serving(parts, options.serve)
    services = ApiServices(
        serving=serving,
        receipts=Receipts(ledger, books.settlement, operator, DOMAIN, chain.operator_of),
        offers=offers,
        chain=chain,
        readiness=Readiness(parts, serving, dict),
        metrics=metrics,
        payee=options.payee,
        ledger_rows=LedgerRows(books.pages),
        routed=routed,
    )
    return _Node("", offer, serving, books.ledger, book, engines, routed=routed, app=create_app(services))


def lane_of(payer: LabPayer) -> LaneKey:
    return LaneKey(payer.address, PAYEE, payer.address, payer.generation)
