"""This node as a payer: the client's pay flow behind `ports.routing.PeerMarket`. Like app.py it sees several rooms.

Nothing of the money rules is written here: ids, ceilings, exposure, budgets, receipts and evidence are the client's
(node/client), with this node's own wallet file and its gas key as the lane.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from node.client.carrier import Carrier, Stream, Transport, World, run
from node.client.effects import Fetch, HungUp, NoReply, Open, Reply
from node.client.escrow import PayeeFacts
from node.client.exchange import AlreadyPaid
from node.client.payer import Payer, Prices
from node.client.payflow import Answer, buy
from node.client.provider import Directory, learn
from node.client.quote import Ask, parse_ask
from node.client.store import WalletWriter
from node.client.sweep import sweep
from node.client.verify import Problem
from node.client.wallet import Limits, Purse
from node.core.errors import ChainUnavailable, EngineFailed, PeerRefused, Refused, WwwserveError
from node.core.folds import PayeeView
from node.core.membership.members import Member
from node.core.routing.config import ProviderConfig
from node.core.types import U128_MAX, Address, Amount, Bytes32, Flag, TokenCount
from node.ports.chain import ChainBook
from node.ports.engine import Exchange
from node.ports.network import Membership, Peers, StreamCall
from node.ports.routing import Bargain, PeerExchange, Purchase

log = logging.getLogger(__name__)
NEVER = Amount(U128_MAX)
SENT_ON = frozenset({"retry-after", "payment-response"})
"""Answer headers that the pay flow reads."""
BOOKS_SECONDS = 5.0
REFRESH_SECONDS = 2.0
LEARN_SECONDS = 30.0
"""Half of what an offer is used for."""


class BookReader:
    """client.escrow.EscrowReader over this node's own books of the chain, for the flow's threads."""

    def __init__(self, book: ChainBook, loop: asyncio.AbstractEventLoop) -> None:
        self._book = book
        self._loop = loop

    def read_payee(self, payee: Address) -> PayeeFacts:
        """See client.escrow.EscrowReader."""
        view = self._wait_for(payee)
        return PayeeFacts(payee, view.operator_of(view.generation), view.generation)

    def read_operator(self, payee: Address, generation: int) -> Address:
        """See client.escrow.EscrowReader."""
        return self._wait_for(payee).operator_of(generation)

    def _wait_for(self, payee: Address) -> PayeeView:
        asked = asyncio.run_coroutine_threadsafe(self._book.load_payee(payee), self._loop)
        try:
            return asked.result(BOOKS_SECONDS)
        except TimeoutError as exc:
            raise ChainUnavailable("the books do not say who this payee is") from exc


class _PeerStream:
    """client.carrier.Stream over a peer's exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def read(self) -> bytes | NoReply:
        try:
            return await self._exchange.read()
        except EngineFailed as exc:
            return NoReply(was_sent=True, why=exc.message)

    async def close(self) -> None:
        self._exchange.cancel()


class PeerTransport:
    """client.carrier.Transport to one peer: what is paid for goes to the proven holder of its operator key only."""

    def __init__(self, peers: Peers, plain: Transport, purchase: Purchase) -> None:
        self._peers = peers
        self._plain = plain
        self._purchase = purchase

    async def fetch(self, request: Fetch) -> Reply | NoReply:
        """Reads (offers, receipts) are checked by their signatures; purchases go through `open`."""
        if request.method != "POST" or request.body is None:
            return await self._plain.fetch(request)
        reply, stream = await self.open(Open(request.url, request.headers, request.body))
        if isinstance(reply, NoReply) or stream is None:
            return reply
        parts: list[bytes] = []
        try:
            while raw := await stream.read():
                if isinstance(raw, NoReply):
                    return raw
                parts.append(raw)
        finally:
            await stream.close()
        return replace(reply, body=b"".join(parts))

    async def open(self, request: Open) -> tuple[Reply | NoReply, Stream | None]:
        """See client.carrier.Transport."""
        bought = self._purchase
        call = StreamCall(
            path=bought.path,
            body=request.body,
            headers={name: value for name, value in request.headers.items() if name.upper() == "PAYMENT-SIGNATURE"},
            hops=bought.hops - 1,
            first_byte_seconds=bought.start_seconds,
            idle_seconds=bought.idle_seconds,
        )
        exchange = self._peers.open_stream(bought.member, call)
        try:
            status = await exchange.start()
        except EngineFailed as exc:
            exchange.cancel()
            return NoReply(was_sent=True, why=exc.message), None
        headers = {name: value for name in SENT_ON if (value := exchange.header(name)) is not None}
        return Reply(status, headers), _PeerStream(exchange)

    async def close(self) -> None:
        """The connections are the others'."""


class Bought:
    """ports.routing.PeerExchange over one purchase."""

    def __init__(self, market: "OffloadMarket", purchase: Purchase) -> None:
        self._market = market
        self._purchase = purchase
        counted = None if purchase.asked is None else purchase.asked.prompt_tokens
        self._ask = replace(parse_ask(purchase.path, purchase.body), prompt_tokens=counted)
        self._carrier: Carrier[Answer] | None = None
        self._first: bytes | None = None
        self._kept: list[bytes] | None = [] if market.keeps(purchase) else None
        self.bargain: Bargain | None = None

    async def start(self) -> int:
        """200 once the answer has begun (a plain one: is there). Raises EngineFailed or PeerRefused."""
        self._carrier = carrier = self._market.carry(self._ask, self._purchase)
        try:
            async with asyncio.timeout(self._purchase.start_seconds):
                self._first = await self._begin(carrier)
        except TimeoutError:
            self.cancel()
            raise EngineFailed("the peer did not begin in time") from None
        return 200

    async def _begin(self, carrier: Carrier[Answer]) -> bytes:
        first = await carrier.part()
        if first is not None:
            return first
        return (await self._result(carrier)).body

    async def read(self) -> bytes:
        """See ports.Exchange."""
        carrier = self._carrier
        if carrier is None:
            raise EngineFailed("nothing was bought yet")
        if self._first is not None:
            first, self._first = self._first, None
            return self._noted(first)
        try:
            async with asyncio.timeout(self._purchase.idle_seconds):
                part = await carrier.part()
        except TimeoutError:
            self.cancel()
            raise EngineFailed("the peer fell silent") from None
        if part is None:
            self._finish(await self._result(carrier))
            return b""
        return self._noted(part)

    def _noted(self, part: bytes) -> bytes:
        if self._kept is not None:
            self._kept.append(part)
        return part

    def _finish(self, answer: Answer) -> None:
        """Once, at the proper end; a user waits for it. What its executor gave no word for is no bargain."""
        receipt, signed = answer.paid.receipt, answer.paid.answer
        if self._kept is not None and self.bargain is None and signed is not None:
            raw = b"".join(self._kept)
            self.bargain = Bargain(self._purchase, self._ask.body, raw, receipt, signed, answer.salt)
            self._market.tell(self.bargain)

    def cancel(self) -> None:
        """The flow closes the peer's stream, then asks for the receipt of what was served.

        Silence, or what is no answer, is no hang-up of ours: nothing is owed that we did not see (threat P18).
        """
        if self._carrier is not None:
            self._carrier.give_up()

    def hang_up(self) -> None:
        """See ports.BoughtExchange."""
        if self._carrier is not None:
            self._carrier.hang_up()

    async def owed(self) -> TokenCount | None:
        """See ports.BoughtExchange. Whoever cheated is owed what came, as by our own count."""
        if self._carrier is None:
            return None
        try:
            receipt = (await self._carrier.result()).paid.receipt
        except HungUp as left:
            return left.proven
        except (WwwserveError, Problem):
            return None
        return TokenCount(receipt.prompt_tokens, receipt.completion_tokens)

    async def _result(self, carrier: Carrier[Answer]) -> Answer:
        if carrier.has_hung_up:
            raise EngineFailed("the purchase was cancelled")
        try:
            return await carrier.result()
        except AlreadyPaid as exc:
            raise EngineFailed("the peer shows a charge for an answer that it did not give") from exc
        except Refused as exc:  # said in its words, which are not for our client
            raise PeerRefused("the peer did not sell") from exc
        except WwwserveError as exc:
            raise EngineFailed(f"the peer failed: {exc}") from exc


@dataclass(slots=True)
class _Pair:
    """What is known of one peer as payee: the lifetime cover, and the highest total it has shown or may take."""

    cover: int = 0
    used: int = 0
    explained: int = 0


@dataclass(slots=True)
class OffloadMarket:
    """ports.routing.PeerMarket. `payer` is this node's; its limits are replaced by each purchase's."""

    payer: Payer
    wallet: WalletWriter
    book: ChainBook
    peers: Peers
    plain: Transport
    membership: Membership
    config: Callable[[], ProviderConfig]
    me: Address
    exposure: Amount
    directory: Directory = field(default_factory=Directory)
    _pairs: dict[Address, _Pair] = field(default_factory=dict)
    _live: dict[Carrier[Answer], tuple[Ask, Purchase]] = field(default_factory=dict)
    _reader: BookReader | None = None
    _refreshed_at: float = float("-inf")
    _told: Callable[[Bargain], None] | None = None

    def open(self, purchase: Purchase) -> PeerExchange:
        """See ports.routing.PeerMarket."""
        return Bought(self, purchase)

    def watch(self, told: Callable[[Bargain], None]) -> None:
        """See ports.routing.PeerMarket."""
        self._told = told

    def keeps(self, purchase: Purchase) -> bool:
        """Whether its bytes are wanted afterwards."""
        return self._told is not None and not purchase.flags & Flag.NO_DUEL

    def tell(self, bargain: Bargain) -> None:
        """Twins are the watcher's own."""
        if self._told is not None and bargain.purchase.twin is None:
            self._told(bargain)

    def cover_left(self, payee: Address) -> Amount:
        """See ports.routing.PeerMarket."""
        pair = self._pairs.get(payee)
        if pair is None:
            return Amount(0)
        pending = sum(bought.most for _, bought in self._live.values() if bought.member.payee == payee)
        return Amount(max(pair.cover - pair.used - pending, 0))

    def carry(self, ask: Ask, purchase: Purchase) -> Carrier[Answer]:
        """Begin to buy."""
        transport = PeerTransport(self.peers, self.plain, purchase)
        flow = buy(ask, self._payer_for(purchase), [url_of(purchase.member)], self.directory)
        carrier = Carrier(flow, World(self.wallet, self._books(), transport))
        self._live[carrier] = (ask, purchase)
        carrier.task.add_done_callback(lambda _: self._live.pop(carrier, None))
        return carrier

    def _payer_for(self, purchase: Purchase) -> Payer:
        daily = self.config().daily_offload_budget or NEVER
        return replace(
            self.payer,
            limits=Limits(exposure=self.exposure, per_request=purchase.most, daily=daily),
            flags=purchase.flags,
            hops=purchase.hops,
            origin=purchase.origin,
            attempts=1,
            twin=None if purchase.twin is None else (purchase.twin.salt, purchase.twin.request_id),
            dearest=Prices(purchase.price_prompt, purchase.price_completion),
        )

    def _books(self) -> BookReader:
        if self._reader is None:
            self._reader = BookReader(self.book, asyncio.get_running_loop())
        return self._reader

    # ---- by the clock ----

    async def refresh(self) -> None:
        """Read covers and purses, and learn peers' offers before a request has to wait for them."""
        now = self.payer.tools.clock.monotonic()
        if now < self._refreshed_at + REFRESH_SECONDS:
            return
        self._refreshed_at = now
        purses: list[Purse] = await self.wallet.run(lambda books: books.load_purses())
        pairs: dict[Address, _Pair] = {}
        members = [one for one in self.membership.members().values() if one.is_alive and one.payee != self.me]
        for member in members:
            standing = await self.book.load_standing(member.payee, self.payer.address, self.payer.signers[0].address)
            pairs[member.payee] = _Pair(cover=standing.cover)
        for purse in purses:
            pair = pairs.get(purse.key.payee)
            if pair is not None:
                pair.used = max(pair.used, purse.heard + purse.in_flight)
                pair.explained = max(pair.explained, purse.explained)
        self._pairs = pairs
        await asyncio.gather(*(self._learn(one) for one in members if pairs[one.payee].cover))

    async def _learn(self, member: Member) -> None:
        """Into a directory of its own: whoever buys meanwhile uses what is known."""
        url = url_of(member)
        known = self.directory.providers.get(url)
        now = self.payer.tools.clock.now()
        if known is not None and now < known.learnt_at + LEARN_SECONDS:
            return
        fresh = Directory(facts=self.directory.facts, counters=self.directory.counters)
        try:
            self.directory.providers[url] = await run(
                learn(url, self.payer, fresh), World(self.wallet, self._books(), self.plain)
            )
        except WwwserveError as exc:
            log.info("the offer of %s is not known: %s", url, exc)

    def spent(self) -> dict[Address, tuple[Amount, Amount]]:
        """payee -> (cover left, charges explained so far) of every live peer: what the capital plan reads."""
        return {payee: (self.cover_left(payee), Amount(pair.explained)) for payee, pair in self._pairs.items()}

    async def sweep(self) -> None:
        """Late receipts of what was cut, hung up on, or in flight when a process died."""
        live: list[Bytes32] = [one for ask, _ in self._live.values() for one in ask.ids]
        await run(sweep(self.payer, live), World(self.wallet, self._books(), self.plain))

    async def close(self) -> None:
        """Stop what tidies up; the wallet knows what was in flight."""
        await asyncio.gather(*(carrier.kill() for carrier in list(self._live)))
        await self.plain.close()
        await asyncio.to_thread(self.wallet.close)


def url_of(member: Member) -> str:
    """A peer's base URL as the pay flow names it."""
    return member.endpoint.rstrip("/")
