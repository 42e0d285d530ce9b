"""Sees all rooms and puts the node together: settings -> adapters -> services -> api and jobs; start and stop.

Its helpers: networked.py (peers, membership), routed.py (bids, draws, offload), paying.py (this node as a payer),
duelling.py (duels, judging).
No `if` about the business. What can be wrong with settings, keys, chain or database is found out before the port opens.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace

from fastapi import FastAPI

from node.adapters.chain.evm import EvmChain, connect
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.adapters.engine.client import EngineSettings, HttpEngine
from node.adapters.failpoints import FailPoint, read_fail_point
from node.adapters.keys import LocalSigner, load_keystore, read_password, recover
from node.adapters.ledger import Books, HighWater, migrate, open_ledger
from node.adapters.ledger.high_water import path_beside
from node.adapters.tokens.counter import load_counter
from node.adapters.tower import HttpTower
from node.api.app import ApiServices, create_app
from node.api.metrics import Metrics
from node.core.errors import BadConfig
from node.core.fees import FeePolicy
from node.core.messages import Offer
from node.core.settlement import Trigger
from node.core.types import Address, Amount, Seconds
from node.deployment import Deployment, load_deployment
from node.duelling import DuelBasis, Duelled, add_duels, duel_jobs
from node.jobs.schedule import Job, build_scheduler
from node.networked import Network, NetworkBasis, build_network
from node.offered import OfferDesk, first_offer
from node.ports.tower import Tower
from node.routed import Routed, RoutingBasis, add_routing, close_routing, routing_jobs, services_of
from node.services.backends import Backend, Backends
from node.services.chain_view import ChainView
from node.services.lease import Lease
from node.services.ledger_rows import LedgerRows
from node.services.offer_watch import OfferWatch
from node.services.offers import OfferBook
from node.services.parts import Parts, ServeSettings
from node.services.readiness import Readiness
from node.services.receipts import Receipts
from node.services.recovery import Recovery
from node.services.resync import Resync
from node.services.sender import Sender
from node.services.serve import Serving
from node.services.settle import SettlePolicy, Settler
from node.services.tower_push import TowerPush
from node.services.watch_chain import ChainWatch
from node.services.x402 import Market
from node.settings import Settings

DRAIN_SECONDS = 25.0
"""How long requests in flight may finish after SIGTERM."""
GWEI = 10**9
TOWER_POLL_SECONDS = 5.0
"""How often lanes are looked at for a push that has become due."""
HEAD_AGE_SHARE = 10
"""Stop admitting when the newest block seen is older than this share of the thaw window (threat I6)."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """What everything else stands on."""

    settings: Settings
    deployment: Deployment
    offer: Offer
    operator: LocalSigner
    gas_key: LocalSigner
    chain: EvmChain
    books: Books
    clock: SystemClock
    metrics: Metrics
    towers: Sequence[Tower]
    fail_point: FailPoint

    @property
    def payee(self) -> Address:
        """Whose node this is."""
        return self.offer.payee

    @property
    def offer_desk(self) -> OfferDesk:
        """What makes offers of documents."""
        return OfferDesk(self.payee, self.settings, self.deployment, self.operator, self.chain, self.books, self.clock)


@dataclass(frozen=True, slots=True)
class Node:
    """One worker process, put together but not yet listening."""

    base: Foundation
    parts: Parts
    serving: Serving
    api: FastAPI
    watch: ChainWatch
    settler: Settler
    sender: Sender
    recovery: Recovery
    tower_push: TowerPush
    offer_watch: OfferWatch
    network: Network
    routed: Routed | None
    duelled: Duelled | None

    async def follow_chain(self) -> None:
        """One poll of the chain, and admission sees it at once. After an outage thaws may have run unseen: settle."""
        followed = await self.watch.poll()
        await self.parts.chain.refresh()
        await self.recovery.watch()
        if self.recovery.is_sound and followed.gap_seconds > self.base.deployment.thaw_seconds / HEAD_AGE_SHARE:
            await self.settler.settle(Trigger.CATCH_UP)

    async def settle(self) -> None:
        """Want what is due; the sender moves it. Stale books sign no claim."""
        if self.recovery.is_sound:
            await self.settler.settle(Trigger.SCHEDULED)

    async def push_to_towers(self) -> None:
        """Show the towers what they may have to claim. Stale books sign nothing."""
        if self.recovery.is_sound:
            await self.tower_push.run()

    async def close_leftovers(self) -> None:
        """Renew the lease; close what crashed workers and failed writes left open, unless the books are stale (P8)."""
        await self.parts.lease.renew()
        if not self.recovery.is_sound:
            return
        await self.serving.closer.retry_unclosed()
        await self.serving.closer.close_abandoned()

    def jobs(self) -> Sequence[Job]:
        """What runs by itself."""
        settings = self.base.settings
        return (
            Job("follow_chain", settings.poll_seconds, self.follow_chain),
            Job("settle", settings.settle_seconds, self.settle),
            Job("send", settings.poll_seconds, self.sender.run),
            Job("offer", settings.poll_seconds, self.offer_watch.look),
            Job("towers", min(settings.tower_seconds, TOWER_POLL_SECONDS), self.push_to_towers),
            Job("members", settings.registry_seconds, self.network.membership.refresh),
            Job("leftovers", self.parts.lease.renew_seconds, self.close_leftovers),
            *routing_jobs(self.routed, settings),
            *duel_jobs(self.duelled, settings),
        )


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Build and start everything but the HTTP server; stop it in reverse. Raises BadConfig, Unavailable."""
    async with AsyncExitStack() as stack:
        base = await _lay_foundation(settings, stack)
        node = _assemble(base, await base.offer_desk.open(base.offer), stack)
        await node.follow_chain()
        await node.parts.lease.take()
        if node.recovery.is_sound:
            await node.serving.closer.close_abandoned()
        scheduler = build_scheduler(node.jobs(), node.base.metrics.job_ran)
        scheduler.start()
        stack.callback(scheduler.shutdown, wait=False)
        await node.network.membership.refresh()
        yield node
        await node.network.membership.stop()
        await node.serving.drain(DRAIN_SECONDS)
        if node.duelled is not None:
            await node.duelled.close()
        await close_routing(node.routed)
        await node.network.close()


async def _lay_foundation(settings: Settings, stack: AsyncExitStack) -> Foundation:
    clock = SystemClock()
    deployment, offer = load_deployment(settings.deployment), first_offer(settings)
    operator = load_keystore(settings.keystore, read_password(settings.password_file))
    gas_key = _gas_key(settings, operator)
    fail_point = read_fail_point(settings.fail_point, deployment.chain_id)
    chain = fail_point.wrap("chain", connect(deployment, settings.rpc, clock.monotonic))
    stack.push_async_callback(chain.close)
    await Views(chain, await chain.fetch_head()).check_set()
    migrate(settings.database)
    high_water = HighWater(path_beside(settings.keystore, deployment.domain, offer.payee))
    books = open_ledger(settings.database, clock, high_water=fail_point.wrap("high_water", high_water))
    fail_point.watch_commits(books.store.engine)
    books.start()
    stack.push_async_callback(books.stop)
    towers, armed = _towers(settings, stack), _armed(books, fail_point)
    return Foundation(
        settings, deployment, offer, operator, gas_key, chain, armed, clock, Metrics(), towers, fail_point
    )


def _armed(books: Books, fail_point: FailPoint) -> Books:
    """The same books, with the armed port (if any) in its wrapper."""
    return replace(
        books,
        ledger=fail_point.wrap("ledger", books.ledger),
        chain=fail_point.wrap("chain_book", books.chain),
        settlement=fail_point.wrap("settlement", books.settlement),
        outbox=fail_point.wrap("outbox", books.outbox),
    )


def _assemble(base: Foundation, offers: OfferBook, stack: AsyncExitStack) -> Node:
    settings = base.settings
    basis = NetworkBasis(base.payee, base.deployment.domain, base.operator, base.clock, base.books.chain)
    network = build_network(settings, basis, base.metrics.watch_membership)
    parts, routed = add_routing(
        settings,
        _parts(base, offers, _backends(base, stack)),
        RoutingBasis(base.chain, base.books, base.gas_key),
        network,
    )
    duelled = add_duels(settings, parts, DuelBasis(base.chain, base.books, base.gas_key), (network, routed), stack)
    serving = Serving(parts, ServeSettings(max_concurrent=settings.max_concurrent))
    recovery = Recovery(base.books.recovery, base.books.high_water, parts.chain, serving, base.payee, base.towers)
    settler = _settler(base, parts)
    return Node(
        base=base,
        parts=parts,
        serving=serving,
        api=_api(base, offers, parts, serving, (_resync(base, parts, recovery), network, routed, duelled)),
        watch=ChainWatch(base.chain, base.books.chain, base.deployment.deploy_block),
        settler=settler,
        sender=Sender(base.chain, base.books.outbox, base.gas_key, base.clock, _fees(settings)),
        recovery=recovery,
        tower_push=_tower_push(base, settler),
        offer_watch=base.offer_desk.watch(offers, parts),
        network=network,
        routed=routed,
        duelled=duelled,
    )


def _towers(settings: Settings, stack: AsyncExitStack) -> Sequence[Tower]:
    towers = [HttpTower(url) for url in settings.towers]
    for tower in towers:
        stack.push_async_callback(tower.close)
    return towers


def _tower_push(base: Foundation, settler: Settler) -> TowerPush:
    return TowerPush(
        settlements=base.books.settlement,
        book=base.books.recovery,
        build=settler.build_claim,
        clock=base.clock,
        payee=base.payee,
        towers=base.towers,
        every_receipts=base.settings.tower_receipts,
        every_seconds=base.settings.tower_seconds,
    )


def _settler(base: Foundation, parts: Parts) -> Settler:
    settings = base.settings
    return Settler(
        chain=base.chain,
        book=base.books.settlement,
        signer=base.fail_point.wrap("claim_signer", base.operator),
        clock=base.clock,
        domain=base.deployment.domain,
        payee=base.payee,
        sender=base.gas_key.address,
        policy=SettlePolicy(
            currency_per_native=Amount(settings.currency_per_native),
            threshold=Amount(settings.settle_threshold),
            max_fee_per_gas=settings.max_fee_gwei * GWEI,
        ),
        operator_of=parts.chain.operator_of,
        towers=base.towers,
    )


def _resync(base: Foundation, parts: Parts, recovery: Recovery) -> Resync:
    return Resync(
        ledger=base.books.ledger,
        book=base.books.recovery,
        settlements=base.books.settlement,
        chain=parts.chain,
        recovery=recovery,
        signer=base.operator,
        recover=recover,
        clock=base.clock,
        domain=base.deployment.domain,
        towers=base.towers,
    )


def _parts(base: Foundation, offers: OfferBook, backends: Backends) -> Parts:
    counter = load_counter(base.settings.tokenizer)
    view = ChainView(
        base.books.chain,
        base.clock,
        base.payee,
        max_age_seconds=base.settings.poll_seconds,
        max_head_age_seconds=base.deployment.thaw_seconds / HEAD_AGE_SHARE,
    )
    return Parts(
        market=Market(base.payee, base.deployment.domain, base.deployment.currency),
        ledger=base.books.ledger,
        chain=view,
        offers=offers,
        counters={(counter.tokenizer_hash, counter.template_hash): counter},
        backends=backends,
        signer=base.fail_point.wrap("receipt_signer", base.operator),
        recover=recover,
        clock=base.clock,
        lease=Lease(base.books.ledger, Seconds(base.settings.lease_seconds)),
        observer=base.metrics,
    )


def _api(
    base: Foundation,
    offers: OfferBook,
    parts: Parts,
    serving: Serving,
    more: tuple[Resync, Network, Routed | None, Duelled | None],
) -> FastAPI:
    chain, (resync, network, routed, duelled) = base.chain, more
    return create_app(
        ApiServices(
            serving=base.fail_point.serving(serving),
            receipts=_receipts(base, parts),
            offers=offers,
            chain=parts.chain,
            readiness=Readiness(parts, serving, lambda: {"rpc": [asdict(status) for status in chain.status()]}),
            metrics=base.metrics,
            payee=base.payee,
            resync=resync,
            ledger_rows=LedgerRows(base.books.pages),
            network=network.services,
            routed=services_of(routed),
            duels=None if duelled is None else duelled.services,
        )
    )


def _receipts(base: Foundation, parts: Parts) -> Receipts:
    books, domain = base.books, base.deployment.domain
    return Receipts(books.ledger, books.settlement, base.operator, domain, parts.chain.operator_of)


def _backends(base: Foundation, stack: AsyncExitStack) -> Backends:
    engines = [HttpEngine(EngineSettings(url)) for url in base.settings.engines]
    if not engines and base.settings.offload_wallet is None:
        raise BadConfig("no engine: pass --engine URL (docs/engines.md), or let peers serve (docs/network.md)")
    for engine in engines:
        stack.callback(engine.close)
    armed = [base.fail_point.engine(engine) for engine in engines]
    return Backends({m.name: [Backend(engine, m.name) for engine in armed] for m in base.offer.models}, base.clock)


def _fees(settings: Settings) -> FeePolicy:
    return FeePolicy(cap=settings.max_fee_gwei * GWEI)


def _gas_key(settings: Settings, operator: LocalSigner) -> LocalSigner:
    if settings.sender_keystore is None:
        return operator
    if settings.sender_password_file is None:
        raise BadConfig("sender_keystore needs sender_password_file")
    return load_keystore(settings.sender_keystore, read_password(settings.sender_password_file))
