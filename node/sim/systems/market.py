"""The market: every node decides with its own policy, walks the draw, asks for bids, offloads, and copes with the dead.

Drives `adaptive`, `single`, `random` and `power-of-two`; no rule of routing is written here.
"""

from dataclasses import dataclass, field
from itertools import islice

from node.core.routing.admission import Enquiry, answer_enquiry
from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.draw import Seats, draw_seed
from node.core.routing.trust import next_record_after_answer, next_record_after_failure, record_with_pending
from node.core.routing.types import (
    Ask,
    Bid,
    Case,
    Decision,
    Forecast,
    Offload,
    Refuse,
    RouteRequest,
    ServeHere,
    Skip,
    Wait,
)
from node.core.types import Address, Amount
from node.sim.systems.duel_load import Duels
from node.sim.world import Request, SimNode, World

RETRY_SECONDS = 0.5
"""How often a node with a queue asks around again."""
RETRY_AT_ONCE = 4
ASK_TIMEOUT_SECONDS = 1.0
"""A bid that takes longer is not waited for."""
LIVENESS_SECONDS = 5.0
"""After this a dead node has left every candidate set (SWIM, measured by `make gossip-sim`)."""
STALL_SECONDS = 1.5
"""An executor that sends neither a token nor a keep-alive for so long is given up: three missed keep-alives."""
SHORT_SHARE = 0.1
"""A deadline is judged by the length that one answer in ten stays below."""
DEEPEST_WALK = 512
"""Providers of the order looked at before giving up."""
HEDGE_SLACK_SECONDS = 0.5
"""A promise missed by less is not worth a second copy."""


@dataclass(slots=True)
class Round:
    """One round of enquiries for one request."""

    node: SimNode
    request: Request
    bids: list[Bid | None]
    left: int
    last_reply_at: float = 0.0
    late: int = 0
    asked: list[SimNode] = field(default_factory=list)


class Market:
    """See module."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kernel = world.kernel
        self.peers = len(world.nodes) - 1
        self.models = frozenset(node.spec.engine.model for node in world.nodes)
        self.offered = {model: frozenset({model}) for model in self.models}
        self.retrying: set[int] = set()
        self.hedges = 0
        self.duels = Duels(world) if world.scenario.duels else None

    # ---- told by the world ----

    def arrive(self, request: Request) -> None:
        """A user's request at its own node; a user of a dead node has nobody to talk to and is lost."""
        node = self.world.nodes[request.arrival.source]
        if node.alive:
            self._decide(node, request, None)

    def on_done(self, node: SimNode, request: Request) -> None:
        """Deliver; the source learns how long it took and what the promise was worth."""
        source = self.world.nodes[request.arrival.source]
        if source is not node:
            self._settle(source, node, request)
        if source.alive:
            self.world.finish(node, request)

    def on_room(self, node: SimNode) -> None:
        """Late binding: the queue's head goes to the engine as soon as it fits."""
        while node.queue and node.alive and node.has_slot(node.queue[0]):
            request = node.queue.popleft()
            self._serve(node, request)

    def on_lost(self, node: SimNode, requests: list[Request]) -> None:
        """Sources of offloaded requests notice the silence and begin again elsewhere; own users are lost."""
        for request in requests:
            source = self.world.nodes[request.arrival.source]
            if request.shadow is None and source is not node and source.alive:
                self.kernel.after(STALL_SECONDS, self._restart, request)

    # ---- one request ----

    def route_request(self, request: Request, reader: SimNode) -> RouteRequest:
        """The request as the pure code sees it. Every model is acceptable, as in the paper's settings.

        A deadline is a moment on its source's clock; whoever reads it subtracts its own.
        """
        arrival, deadline = request.arrival, self.world.scenario.deadline
        skews = self.world.network.skews
        ahead = skews[reader.index] - skews[arrival.source]
        left = None if deadline is None else arrival.at + deadline - self.kernel.now - ahead
        return RouteRequest(
            request.request_id, tuple(self.models), arrival.prompt, arrival.max_tokens, left, request.path
        )

    def case(self, node: SimNode, request: Request, bids: tuple[Bid, ...] | None) -> Case:
        """What the policy sees."""
        expected = node.expected_tokens(request.arrival.max_tokens)
        short = None if self.world.scenario.deadline is None else node.lengths.quantile(SHORT_SHARE)
        return Case(self.route_request(request, node), node.here(request), expected, self.peers, bids, short)

    def _decide(self, node: SimNode, request: Request, bids: tuple[Bid, ...] | None) -> None:
        decision: Decision = node.policy.decide(self.case(node, request, bids), node.dice)
        match decision:
            case ServeHere():
                self._leave_queue(node, request)
                self._serve(node, request)
            case Wait():
                self._wait(node, request)
            case Ask():
                self._ask(node, request, decision.count)
            case Offload():
                self._leave_queue(node, request)
                self._send(node, request, decision.bid)
            case Refuse():
                self._leave_queue(node, request)
                self.world.recorder.refused(self.kernel.now - request.arrival.at)

    def _serve(self, node: SimNode, request: Request) -> None:
        request.asking = False
        node.submit(request)

    def _leave_queue(self, node: SimNode, request: Request) -> None:
        if request.holder is node and request in node.queue:
            node.queue.remove(request)

    def _wait(self, node: SimNode, request: Request) -> None:
        if request.holder is not node or request not in node.queue:
            request.holder = node
            node.queue.append(request)
        self._retry_later(node)

    def _retry_later(self, node: SimNode) -> None:
        if node.index not in self.retrying:
            self.retrying.add(node.index)
            self.kernel.after(RETRY_SECONDS, self._retry, node)

    def _retry(self, node: SimNode) -> None:
        self.retrying.discard(node.index)
        if not node.alive or not node.queue:
            return
        for request in list(islice(node.queue, RETRY_AT_ONCE)):
            if not request.asking and len(request.path) < node.config.hop_limit:
                self._ask(node, request, node.config.candidates)
        self._retry_later(node)

    # ---- bids ----

    def _ask(self, node: SimNode, request: Request, count: int) -> None:
        route = self.route_request(request, node)
        walk = Walk(node.address, route, node.config, lambda address: self._know(node, address))
        seed = draw_seed(request.request_id, self.world.block_hash, node.address)
        stakes = self.world.stakes()
        seats = None if node.config.distinct_candidates else Seats(stakes, seed)
        chosen = choose_candidates(islice(stakes.order(seed), DEEPEST_WALK), walk, count, seats).chosen
        request.asking = True
        if not chosen:
            self._conclude(Round(node, request, [], 0))
            return
        asked = [self.world.by_address[address] for address in chosen]
        ring = Round(node, request, [None] * len(asked), len(asked), asked=asked)
        for place, peer in enumerate(asked):
            self._enquire_later(ring, place, peer)

    def _know(self, node: SimNode, address: Address) -> Skip | None:
        peer = self.world.by_address[address]
        now = self.kernel.now
        if not peer.alive and not 0.0 <= now - peer.died_at < LIVENESS_SECONDS:
            return Skip.DEAD
        return Skip.BACKING_OFF if node.record(peer).is_avoided(now) else None

    def _enquire_later(self, ring: Round, place: int, peer: SimNode) -> None:
        network, here = self.world.network, ring.node.index
        seconds = network.seconds(here, peer.index)
        there = network.delivers(here, peer.index, self.kernel.now)
        back = network.delivers(peer.index, here, self.kernel.now)
        if not (there and back and peer.alive) or 2 * seconds > ASK_TIMEOUT_SECONDS:
            self.kernel.after(ASK_TIMEOUT_SECONDS, self._no_reply, (ring, place, peer))
        else:
            self.kernel.after(seconds, self._enquire, (ring, place, peer))

    def _enquire(self, packed: tuple[Round, int, SimNode]) -> None:
        ring, place, peer = packed
        bid = self._bid_of(ring, peer)
        if isinstance(bid, Bid):
            ring.bids[place] = bid
        reply_at = self.kernel.now + self.world.network.seconds(peer.index, ring.node.index)
        self._replied(ring, reply_at)

    def _no_reply(self, packed: tuple[Round, int, SimNode]) -> None:
        ring, _, peer = packed
        ring.node.records[peer.index] = next_record_after_failure(ring.node.record(peer), self.kernel.now)
        self._replied(ring, self.kernel.now)

    def _replied(self, ring: Round, reply_at: float) -> None:
        ring.left -= 1
        ring.last_reply_at = max(ring.last_reply_at, reply_at)
        if ring.left == 0:
            self.kernel.at(ring.last_reply_at, self._conclude, ring)

    def _bid_of(self, ring: Round, peer: SimNode) -> Bid | Skip:
        if not peer.alive:
            return Skip.DEAD
        case = self.case(peer, ring.request, None)
        model = peer.spec.engine.model
        enquiry = Enquiry(case, ring.node.address, self.kernel.now, Amount(1), self.offered[model], len(peer.queue))
        bid = answer_enquiry(peer.config, peer.address, enquiry, peer.dice)
        return _lie(bid, peer.spec.claims_faster) if isinstance(bid, Bid) else bid

    def _conclude(self, ring: Round) -> None:
        node, request = ring.node, ring.request
        if not request.asking:
            return
        request.asking = False
        if not node.alive:
            return
        promises = [bid for bid in ring.bids if bid is not None]
        request.promises = {bid.provider: bid.forecast for bid in promises}
        bids = [self._corrected(node, bid) for bid in promises]
        self._decide(node, request, tuple(bids))

    def _corrected(self, node: SimNode, bid: Bid) -> Bid:
        """Promises of a peer that did not keep them are stretched by its record before the policy sees them.

        The record itself is always fed the promise as made: fed the stretched one, it would settle for half the lie.
        """
        peer = self.world.by_address[bid.provider]
        pending = [
            _so_far(request, self.kernel.now) for request in node.away.get(peer.index, ()) if not request.dropped
        ]
        record = record_with_pending(node.record(peer), pending) if pending else node.record(peer)
        factor = record.correction()
        return bid if factor == 1.0 else _stretched(bid, factor)

    # ---- offload ----

    def _send(self, node: SimNode, request: Request, bid: Bid) -> None:
        peer = self.world.by_address[bid.provider]
        request.bid, request.sent_at, request.holder = request.promises[bid.provider], self.kernel.now, peer
        request.path = (*request.path, node.address)
        request.hops += 1
        node.away.setdefault(peer.index, {})[request] = None
        self.world.network.messages += 2
        seconds = self.world.network.seconds(node.index, peer.index)
        self.kernel.after(seconds, self._receive, (peer, request))
        if self.duels:
            self.duels.maybe(node, peer, request)
        after = self.world.scenario.hedge_after
        if after is not None and request.twin is None:
            late = after * request.bid.start_seconds + 2 * seconds + HEDGE_SLACK_SECONDS
            self.kernel.after(late, self._hedge, (node, peer, request, request.restarts))

    def _hedge(self, packed: tuple[SimNode, SimNode, Request, int]) -> None:
        """No first token when it was promised: the broken promise is noted, and a second copy looks for a place."""
        node, peer, request, restarts = packed
        over = request.dropped or request.first_at >= 0 or request.restarts != restarts or request.holder is not peer
        if over or request.twin is not None or not node.alive or request.bid is None:
            return
        promised, measured = request.bid.start_seconds, self.kernel.now - request.sent_at
        node.records[peer.index] = next_record_after_answer(node.record(peer), promised, measured)
        self.hedges += 1
        copy = request.copy()
        request.twin, copy.twin = copy, request
        self._decide(node, copy, None)

    def _receive(self, packed: tuple[SimNode, Request]) -> None:
        peer, request = packed
        if request.dropped:
            return
        if not peer.alive:
            self.kernel.after(STALL_SECONDS, self._restart, request)
        elif isinstance(peer.policy.decide(self.case(peer, request, ()), peer.dice), Wait):
            self._wait(peer, request)
        else:
            self._serve(peer, request)

    def _restart(self, request: Request) -> None:
        """The source begins again with whoever is left; the dead peer's record keeps it from being asked."""
        source, lost = self.world.nodes[request.arrival.source], request.holder
        if request.dropped:
            return
        if request.twin is not None:
            request.twin.twin, request.twin = None, None  # the other copy lives: nothing is begun again
            return
        if lost is not None and lost is not source:
            source.away.get(lost.index, {}).pop(request, None)
            source.records[lost.index] = next_record_after_failure(source.record(lost), self.kernel.now)
        self.world.recorder.restarted(self.kernel.now - (lost.died_at if lost else self.kernel.now))
        request.path, request.holder, request.restarts = (), None, request.restarts + 1
        self._decide(source, request, None)

    def _settle(self, source: SimNode, node: SimNode, request: Request) -> None:
        node.earned += 1
        source.spent += 1
        source.lengths.observe(request.arrival.tokens)
        source.away.get(node.index, {}).pop(request, None)
        if request.bid is not None:
            promised = request.bid.finish_seconds(request.arrival.tokens)
            measured = self.kernel.now - request.sent_at
            source.records[node.index] = next_record_after_answer(source.record(node), promised, measured)


def _so_far(request: Request, now: float) -> tuple[float, float]:
    """(seconds promised for what the source has received so far, seconds elapsed since it was sent)."""
    promised = request.bid
    assert promised is not None
    work, holder = request.work, request.holder
    made = 0
    if work is not None and holder is not None and work in holder.engine.running:
        made = work.made + holder.engine.steps_now() - work.start_step + 1
    return promised.start_seconds + made * promised.token_seconds, now - request.sent_at


def _stretched(bid: Bid, factor: float) -> Bid:
    old = bid.forecast
    forecast = Forecast(old.start_seconds * factor, old.token_seconds * factor, old.added_seconds * factor)
    return Bid(bid.provider, bid.price, forecast, bid.in_flight, bid.has_slot)


def _lie(bid: Bid, factor: float) -> Bid:
    if factor == 1.0:
        return bid
    lie = _stretched(bid, 1.0 / factor)
    return Bid(lie.provider, lie.price, lie.forecast, 0, has_slot=True)
