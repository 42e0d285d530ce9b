"""Step 4 of a paid request: here, in the queue, or at a peer, as this provider's own policy decides; again on failure.

Nothing of the answer has been passed on while a route still hands out backends, so a peer that refuses, dies or stalls
costs the client nothing but time. Charges nothing: see closing.py for the client's side, node/paying.py for ours.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from math import ceil

from node.core.account import Admission
from node.core.errors import Overloaded, PeerRefused, WwwserveError
from node.core.messages import ModelOffer, Receipt, Terms
from node.core.quality import Topic, size_class
from node.core.routing.trust import scaled
from node.core.routing.types import (
    Ask,
    Bid,
    Decision,
    Demands,
    Here,
    Offload,
    Refuse,
    RouteRequest,
    Skip,
    Wait,
)
from node.core.types import Address, Bytes32, Flag, Status
from node.ports.routing import Purchase
from node.services.admission import Checked
from node.services.backends import Backend
from node.services.caller import Caller
from node.services.draws import Drawn, DrawTask
from node.services.offload import Away, Deal, PeerEngine
from node.services.peer_book import PeerBook
from node.services.quoting import Quote
from node.services.request import Request
from node.services.routing_grounds import Grounds, RouterParts
from node.services.routing_wishes import way_of

MOST_TRIES = 4
"""Backends one request may fail at."""
RETRY_SECONDS = 0.5
"""How often a request that waits asks around again."""
RETRY_AT_ONCE = 4
"""So many of the queue's first may ask around; the others would only ask the same."""


class PolicyRouter:
    """services.routes.Router over a provider's policy."""

    def __init__(self, parts: RouterParts) -> None:
        self.parts = parts
        self.peers = PeerBook()
        self.quality: Callable[[Address, Topic, float], float] | None = None
        """What verdicts say of a provider, as a factor on its seconds (core.quality); set where duels are on."""
        self._room: dict[object, asyncio.Event] = {}

    def route(self, checked: Checked, request: Request, quote: Quote) -> "PolicyRoute":
        """See services.routes.Router."""
        terms = checked.payment.terms
        wishes = request.wishes
        can_offload = not terms.flags & Flag.NO_OFFLOAD
        demands = Demands(not can_offload, wishes.providers, wishes.prefer, terms.max_price, wishes.quality)
        asked = RouteRequest(
            request_id=terms.request_id,
            models=(quote.model.name,),
            prompt_tokens=quote.prompt_tokens,
            max_tokens=quote.completion_limit,
            finish_by=wishes.finish_within,
            path=way_of(terms.hops, wishes.path),
            demands=demands,
        )
        if terms.hops:
            self._check_takes(asked, terms)
        route = PolicyRoute(self, asked, quote.model, request)
        route.look()
        return route

    def _check_takes(self, asked: RouteRequest, terms: Terms) -> None:
        """A bid may be older than a change of the settings; who was not asked has promised nothing at all."""
        config, now = self.parts.policies.config, self.parts.draws.identity.clock.now()
        if config.draining or not config.serves_peers_at(now):
            raise Overloaded("this node takes no work of other nodes now", retry_after=60)
        if self.parts.answerer.has_promised(asked.path[-1], terms.origin_hash):
            return
        against = self.parts.answerer.takes(asked.models[0], asked)
        if against is not None:
            raise Overloaded("this node does not take this request of another node", retry_after=1, reason=against)

    @asynccontextmanager
    async def asked(self, purchase: Purchase, model: Bytes32) -> AsyncIterator[bool]:
        """See ports.routing.PeerSellers: passed over, believed or asked as a candidate is; what is bought counts."""
        if purchase.asked is None:
            raise PeerRefused("nobody was asked for the first of its kind")
        dearest = purchase.price_prompt, purchase.price_completion
        task = Grounds(self.parts, self.peers, purchase.asked, model, dearest).task(purchase.origin)
        heard = await self.parts.draws.ask_one(purchase.member, task)
        now = self.parts.view.clock.monotonic()
        if heard is not None and heard.reason is Skip.TIMED_OUT:
            self.peers.failed(purchase.member.payee, now)
        if heard is None or heard.bid is None:
            yield False
            return
        # Nobody counts these answers' events: late is what should have come whole.
        whole = heard.bid.forecast.finish_seconds(purchase.asked.max_tokens)
        away = Away(purchase.member.payee, replace(heard.bid.forecast, start_seconds=whole), now)
        self.peers.send(away)
        try:
            yield True
        finally:
            self.peers.back(away)

    def wait_for_room(self, one: object) -> asyncio.Event:
        """Join the queue; the event is set when it is worth looking again."""
        self.parts.view.queue.join(one)
        return self._room.setdefault(one, asyncio.Event())

    def leave(self, one: object) -> None:
        """Out of the queue; whoever is first now may look."""
        self.parts.view.queue.leave(one)
        self._room.pop(one, None)
        self.room()

    def room(self) -> None:
        """Something ended here: the first in the queue looks again (late binding)."""
        first = self.parts.view.queue.first()
        if first is not None and first in self._room:
            self._room[first].set()


class PolicyRoute:
    """services.routes.Route of one request."""

    def __init__(self, router: PolicyRouter, request: RouteRequest, model: ModelOffer, asked: Request) -> None:
        self._router = router
        self._parts = router.parts
        self._request = request
        self._model = model
        self._is_stream = asked.is_stream
        self._topic = Topic(model.model, size_class(asked.body))
        self._clock = router.parts.view.clock
        self._arrived_at = self._clock.monotonic()
        self._tries = 0
        self._rounds = 0
        self._failed: set[Address] = set()
        self._has_broken = False
        self._looked: Decision | None = None
        self._running: tuple[Backend, int] | None = None
        self._away: Away | None = None

    def look(self) -> None:
        """The first decision, before anything is reserved: refuse early rather than late. Raises Overloaded."""
        self._looked = self._decide(None)
        if isinstance(self._looked, Refuse):
            raise _overloaded(self._looked)

    async def next(self, admission: Admission, caller: Caller) -> Backend | None:
        """See services.routes.Route."""
        self._tries += 1
        if self._tries > MOST_TRIES:
            return None
        try:
            return await self._next(admission, caller)
        finally:
            self._router.leave(self)

    async def _next(self, admission: Admission, caller: Caller) -> Backend | None:
        bids: tuple[Bid, ...] | None = None
        drawn: Drawn | None = None
        task = self._task(admission)
        while not caller.is_gone:
            decision = self._looked or self._decide(bids)
            self._looked = None
            if drawn is not None:
                self._keep(task, drawn, decision)
            if isinstance(decision, Ask):
                drawn = await self._draw(task, decision.count) if self._may_offload() else None
                bids = self._bids(drawn) if drawn is not None else ()
                continue
            if isinstance(decision, Wait):
                await self._wait(caller)
                bids = drawn = None
                continue
            return self._taken(decision, drawn, admission)
        return None

    def _may_offload(self) -> bool:
        """Whatever the policy wants: not against the client's word, and not for ever in circles (threat H8)."""
        hops = len(self._request.path)
        return not self._request.demands.no_offload and hops < self._parts.policies.config.hop_limit

    def _taken(self, decision: Decision, drawn: Drawn | None, admission: Admission) -> Backend | None:
        """The backend of a decision that ends the search."""
        if isinstance(decision, Offload) and drawn is not None:
            return self._offload(decision.bid, drawn, admission)
        if isinstance(decision, Refuse):
            if self._has_broken:
                return None  # the failure says more than our refusal
            raise _overloaded(decision)
        backend, _ = self._here()
        if backend is None:
            return None
        meter = self._parts.view.meters.of(backend)
        number = meter.begin(self._request.prompt_tokens, self._request.max_tokens, self._clock.monotonic())
        self._running = (backend, number)
        return backend

    def started(self) -> None:
        """See services.routes.Route."""
        if self._running is not None:
            backend, number = self._running
            self._parts.view.meters.of(backend).first(number, self._clock.monotonic())

    def failed(self, backend: Backend, error: WwwserveError) -> None:
        """An own engine rests for a while. A peer that said no is only not asked again for this request."""
        if self._away is None:
            self._parts.view.backends.note_failure(backend)
        else:
            self._failed.add(self._away.peer)
        if not isinstance(error, PeerRefused):
            self._has_broken = True
            self._blame()
        self._release(0)

    def _blame(self) -> None:
        """A peer that broke its word is left alone for a while, and the neighbours look whether it lives."""
        if self._away is not None:
            self._router.peers.failed(self._away.peer, self._clock.monotonic())
            self._parts.membership.report_failure(self._away.peer)

    def ended(self, receipt: Receipt) -> None:
        """See services.routes.Route."""
        tokens, now = receipt.completion_tokens, self._clock.monotonic()
        if receipt.status in (Status.PARTIAL, Status.FAILED):
            self._blame()
        elif tokens:
            self._parts.view.meters.lengths.observe(tokens)
            if self._away is not None and receipt.status == Status.COMPLETE:
                self._router.peers.answered(self._away, tokens, now)
        self._release(tokens)

    def close(self) -> None:
        """See services.routes.Route."""
        self._release(0)

    def _release(self, tokens: int) -> None:
        if self._running is not None:
            backend, number = self._running
            self._parts.view.meters.of(backend).end(number, tokens, self._clock.monotonic())
            self._running = None
            self._router.room()
        if self._away is not None:
            self._router.peers.back(self._away)
            self._away = None

    # ---- deciding ----

    def _decide(self, bids: tuple[Bid, ...] | None) -> Decision:
        case = self._parts.view.case_of(self._now(), self._here()[1], bids)
        return self._parts.policies.policy.decide(case, self._parts.dice)

    def _here(self) -> tuple[Backend | None, Here]:
        return self._parts.view.best(self._request, self)

    def _now(self) -> RouteRequest:
        """The request with the seconds that are left of its deadline."""
        if self._request.finish_by is None:
            return self._request
        old = self._request
        return RouteRequest(
            old.request_id, old.models, old.prompt_tokens, old.max_tokens, self._left(), old.path, old.demands
        )

    def _left(self) -> float | None:
        finish_by = self._request.finish_by
        return None if finish_by is None else finish_by - (self._clock.monotonic() - self._arrived_at)

    async def _wait(self, caller: Caller) -> None:
        """Until there may be room, or it is time to ask around again, or the caller has gone."""
        event = self._router.wait_for_room(self)
        event.clear()
        caller.on_gone(event.set)
        while not caller.is_gone:
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await event.wait()
            except TimeoutError:
                if self._parts.view.queue.ahead_of(self) >= RETRY_AT_ONCE:
                    continue
            return

    # ---- peers ----

    def _task(self, admission: Admission) -> DrawTask:
        terms, most = admission.terms, self._new_deal(admission).most
        dearest = most(terms.price_prompt), most(terms.price_completion)
        grounds = Grounds(self._parts, self._router.peers, self._now(), self._model.model, dearest, self._failed)
        return grounds.task(terms.struct_hash())

    def _new_deal(self, admission: Admission) -> Deal:
        return Deal(
            admission=admission,
            margin=self._parts.policies.config.offload_margin,
            finish_by=self._left(),
            is_stream=self._is_stream,
            asked=self._now(),
            path=(*self._request.path, self._parts.draws.identity.me),
        )

    async def _draw(self, task: DrawTask, count: int) -> Drawn:
        basis = self._parts.basis.basis
        if basis is None:
            raise Overloaded("this node has not read the registry yet", retry_after=1)
        return await self._parts.draws.draw(basis, task, count)

    def _bids(self, drawn: Drawn) -> tuple[Bid, ...]:
        now = self._clock.monotonic()
        for one in drawn.heard:
            if one.reason is Skip.TIMED_OUT:
                self._router.peers.failed(one.member.payee, now)
        return tuple(
            self._weighed(self._router.peers.corrected(one.bid, now)) for one in drawn.bids if one.bid is not None
        )

    def _weighed(self, bid: Bid) -> Bid:
        """By quality too: the client's own weight, or the provider's policy's."""
        if self._router.quality is None:
            return bid
        wished = self._request.demands.quality
        weight = self._parts.policies.config.quality_weight if wished is None else wished
        return replace(bid, forecast=scaled(bid.forecast, self._router.quality(bid.provider, self._topic, weight)))

    def _offload(self, bid: Bid, drawn: Drawn, admission: Admission) -> Backend:
        chosen = next(one for one in drawn.bids if one.member.payee == bid.provider)
        promise = chosen.bid.forecast if chosen.bid is not None else bid.forecast
        self._away = Away(bid.provider, promise, self._clock.monotonic())
        self._router.peers.send(self._away)
        engine = PeerEngine(self._parts.market, chosen.member, bid, self._new_deal(admission), self._away)
        return Backend(engine, self._model.name, is_peer=True)

    def _keep(self, task: DrawTask, drawn: Drawn, decision: Decision) -> None:
        if isinstance(decision, Wait) and self._rounds:
            return  # asked again and again while it waits: the first draw and the last are kept
        chosen = decision.bid.provider if isinstance(decision, Offload) else None
        self._rounds += 1
        outcome = (type(decision).__name__, decision.reason.value, chosen)
        self._parts.draws.keep(task, drawn, self._rounds, outcome)


def _overloaded(refuse: Refuse) -> Overloaded:
    return Overloaded(
        "this node cannot serve it in time; ask another, or later",
        retry_after=ceil(refuse.retry_after_seconds),
        reason=refuse.reason.value,
    )
