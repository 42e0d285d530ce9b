"""Puts routing together for app.py: the provider's settings, bids, draws, the payer's side. Decides nothing."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import SystemRandom

from node.adapters.chain.allotting import allot_call, read_free
from node.adapters.chain.evm import EvmChain
from node.adapters.keys import LocalSigner
from node.adapters.ledger import Books
from node.adapters.tokens.counter import HfTokenCounter
from node.api.app import RoutedServices
from node.client.carrier import Transport
from node.client.over_aiohttp import AiohttpTransport
from node.client.payer import Payer, Tools
from node.client.pins import ANY_MODEL, Pin
from node.client.provider import Directory
from node.client.store import WalletWriter, open_engine
from node.client.wallet import Limits
from node.core.capital import CapitalRules
from node.core.errors import BadConfig, BadVoucher
from node.core.routing.load import EngineLimits
from node.core.types import Address, Amount
from node.core.wire import address_of
from node.jobs.schedule import Job
from node.networked import Network
from node.paying import OffloadMarket
from node.ports.chain import ChainBook
from node.ports.network import Membership, Peers
from node.ports.routing import DrawBook
from node.services.bids import Answerer, Asker, Identity
from node.services.draws import Draws
from node.services.engine_watch import WATCH_SECONDS, EngineWatch
from node.services.offload_capital import CapitalPlanner
from node.services.parts import Parts
from node.services.routing import PolicyRouter
from node.services.routing_basis import StakeBasis
from node.services.routing_grounds import RouterParts
from node.services.routing_meter import Meters
from node.services.routing_policies import Policies
from node.services.routing_view import OwnView
from node.settings import Settings

PURGE_SECONDS = 3_600.0
SWEEP_SECONDS = 20.0
"""How often receipts are asked for that should have come."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other nodes: who they are, how to speak to them, and plain reads of what they sign."""

    membership: Membership
    peers: Peers
    plain: Transport


@dataclass(frozen=True, slots=True)
class RoutingWish:
    """The provider's settings for routing. `wallet` is this node's own file of what it bought."""

    wallet: Path
    lane: LocalSigner
    """The key that pays: the escrow knows its address as a payer."""
    exposure: Amount
    payer: Address | None = None
    """Whose money the lane spends, if not its own."""
    policy_file: Path | None = None
    engine_slots: int = 256
    engine_kv_tokens: int = 1_000_000
    policies: Callable[[], Policies] | None = None


@dataclass(frozen=True, slots=True)
class Routed:
    """Everything of routing that app.py starts, polls and stops."""

    services: RoutedServices
    market: OffloadMarket
    basis: StakeBasis
    view: OwnView
    engines: EngineWatch
    capital: CapitalPlanner | None = None

    async def follow(self) -> None:
        """Beside the chain poll: the basis of draws, the settings file, covers and offers of peers."""
        self.services.policies.reload()
        await self.basis.refresh()
        stakes = self.basis.basis.stakes if self.basis.basis is not None else ()
        self.view.peers = max(len(stakes) - 1, 0)
        await self.market.refresh()

    async def close(self) -> None:
        """Let what is being written end, then stop."""
        await self.services.draws.settle()
        await self.market.close()


@dataclass(frozen=True, slots=True)
class RoutingBasis:
    """What app.py has already built."""

    chain: EvmChain
    books: Books
    lane: LocalSigner
    """The gas key: allotments are its transactions, so it is the payer."""


def add_routing(settings: Settings, parts: Parts, basis: RoutingBasis, network: Network) -> tuple[Parts, Routed | None]:
    """The serve path's parts with a router, for a node that has a wallet to buy with; unchanged for another."""
    if settings.offload_wallet is None:
        return parts, None
    wish = RoutingWish(
        wallet=settings.offload_wallet,
        lane=basis.lane,
        exposure=Amount(settings.offload_exposure),
        payer=_payer_of(settings),
        policy_file=settings.policy,
        engine_slots=settings.engine_slots,
        engine_kv_tokens=settings.engine_kv_tokens,
    )
    near = Neighbours(network.membership, network.peers, AiohttpTransport(guard=not settings.private_network))
    routed = build_routing(parts, basis.books.chain, basis.books.draws, near, wish)
    network.membership.bid_with(routed.services.answerer.standing_rows)
    if wish.payer is not None:
        return replace(parts, router=routed.services.router), routed  # allotments are that payer's own transactions
    capital = CapitalPlanner(
        spent=routed.market.spent,
        read_free=partial(read_free, basis.chain, basis.lane.address),
        allot_call=partial(allot_call, basis.chain),
        outbox=basis.books.outbox,
        sender=basis.lane.address,
        clock=parts.clock,
        rules=CapitalRules(Amount(settings.allot_floor)),
    )
    return replace(parts, router=routed.services.router), replace(routed, capital=capital)


def _payer_of(settings: Settings) -> Address | None:
    if not settings.offload_payer:
        return None
    try:
        return address_of(settings.offload_payer, "offload_payer")
    except BadVoucher as exc:
        raise BadConfig(exc.message) from exc


async def _purge(routed: Routed, days: int) -> None:
    await routed.services.draws.purge(days)


def services_of(routed: Routed | None) -> RoutedServices | None:
    """What the HTTP surface shows of it."""
    return routed.services if routed is not None else None


def routing_jobs(routed: Routed | None, settings: Settings) -> Sequence[Job]:
    """What runs by itself."""
    if routed is None:
        return ()
    jobs = (
        Job("routing", settings.poll_seconds, routed.follow),
        Job("purchases", SWEEP_SECONDS, routed.market.sweep),
        Job("draws", PURGE_SECONDS, partial(_purge, routed, settings.draw_days)),
        Job("engines", WATCH_SECONDS, routed.engines.look),
    )
    if routed.capital is None:
        return jobs
    return (*jobs, Job("capital", settings.allot_seconds, routed.capital.run))


async def close_routing(routed: Routed | None) -> None:
    """Books first, then connections."""
    if routed is not None:
        await routed.close()


def build_routing(parts: Parts, book: ChainBook, draws: DrawBook, near: Neighbours, wish: RoutingWish) -> Routed:
    """See module. Raises BadConfig for a bad policy file or wallet."""
    policies = wish.policies() if wish.policies is not None else Policies(wish.policy_file)
    identity = Identity(parts.market.payee, parts.signer, parts.recover, parts.market.domain, parts.clock)
    meters = Meters(EngineLimits(wish.engine_kv_tokens, wish.engine_slots, 2_048))
    view = OwnView(parts.backends, meters, parts.clock)
    dice = SystemRandom()
    answerer = Answerer(identity, near.membership, policies, view, dice, parts.offers)
    market = _market(parts, book, near, wish, policies)
    basis = StakeBasis(book)
    drawing = Draws(identity, near.membership, Asker(identity, near.peers), draws)
    router = PolicyRouter(RouterParts(view, policies, basis, drawing, answerer, near.membership, market, dice))
    return Routed(
        RoutedServices(router, drawing, answerer, policies),
        market,
        basis,
        view,
        EngineWatch(parts.backends, meters, parts.clock),
    )


def _market(parts: Parts, book: ChainBook, near: Neighbours, wish: RoutingWish, policies: Policies) -> OffloadMarket:
    """A payer that trusts the counting rules this node itself sells by, and no others."""
    counters = {Pin(tokenizer, template): counter for (tokenizer, template), counter in parts.counters.items()}
    payer = Payer(
        address=wish.payer or wish.lane.address,
        signers=(wish.lane,),
        domain=parts.market.domain,
        currency=parts.market.currency,
        limits=Limits(wish.exposure, Amount(0), Amount(0)),
        pins={ANY_MODEL: frozenset(counters)},
        tools=Tools(parts.clock, secrets.token_bytes, parts.recover, HfTokenCounter),
    )
    return OffloadMarket(
        payer=payer,
        wallet=WalletWriter(open_engine(wish.wallet)),
        book=book,
        peers=near.peers,
        plain=near.plain,
        membership=near.membership,
        config=lambda: policies.config,
        me=parts.market.payee,
        exposure=wish.exposure,
        directory=Directory(counters=dict(counters)),
    )
