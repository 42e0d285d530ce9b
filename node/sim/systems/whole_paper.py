"""WWW.Serve as published: half-second dispatch ticks, three-second metrics, stake that follows load, credits, gossip.

The rule itself is `node/core/routing/paper.py`; here are the habits around it. Its gossip is modelled as one copy of
the state a period, so it is meant for up to a hundred nodes.
"""

from collections import deque
from itertools import islice

from node.core.routing.admission import Enquiry, answer_enquiry
from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.draw import draw_seed
from node.core.routing.types import Ask, Bid, Case, Forecast, Here, Offload, RouteRequest, ServeHere, Skip
from node.core.stake import next_paper_stake, paper_stake_target
from node.core.types import Address, Amount, Bytes32
from node.sim.workload import stream
from node.sim.world import Request, SimNode, World

TICK_SECONDS = 0.5
METRICS_SECONDS = 3.0
STAKE_SECONDS = 1.0
GOSSIP_SECONDS = 3.0
SILENCE_SECONDS = 20.0
"""Ten seconds without news, ten more as suspect; with the gossip period this makes the published 12-25 s."""
NO_FORECAST = Forecast(0.0, 0.0, 0.0)
"""The paper's nodes promise nothing about time."""


class WholePaper:
    """See module."""

    def __init__(self, world: World) -> None:
        self.world, self.kernel = world, world.kernel
        count = len(world.nodes)
        self.usage = [0.0] * count
        self.metric_waiting = [0] * count
        self.own: list[deque[Request]] = [deque() for _ in range(count)]
        self.foreign: list[deque[Request]] = [deque() for _ in range(count)]
        self.credits = [node.spec.credits for node in world.nodes]
        self.sent: list[dict[Request, None]] = [{} for _ in range(count)]
        self.ids = stream(world.seed, "paper-draws")
        phases = stream(world.seed, "paper-phases")
        self.open = 0
        for node in world.nodes:
            node.stake = node.spec.stake if node.spec.fixed_stake else 0
            for period, job in (
                (TICK_SECONDS, self._tick),
                (METRICS_SECONDS, self._poll),
                (STAKE_SECONDS, self._stake),
            ):
                self.kernel.at(phases.random() * period, job, node)

    # ---- told by the world ----

    def arrive(self, request: Request) -> None:
        """Into the user queue."""
        if self.world.nodes[request.arrival.source].alive:
            self.open += 1
            self.own[request.arrival.source].append(request)

    def on_done(self, node: SimNode, request: Request) -> None:
        """Deliver and pay one credit after delivery."""
        source = self.world.nodes[request.arrival.source]
        self.open -= 1
        if source is not node:
            self.credits[node.index] += 1
            self.credits[source.index] -= 1
            self.sent[source.index].pop(request, None)
        if source.alive:
            self.world.finish(node, request)

    def on_room(self, node: SimNode) -> None:
        """Nothing: the engine queues for itself."""

    def on_lost(self, node: SimNode, requests: list[Request]) -> None:
        """Others find out by silence, and requeue at the front."""
        self.open -= sum(1 for request in requests if request.arrival.source == node.index)
        waiting = [*self.own[node.index], *self.foreign[node.index]]
        self.open -= len(self.own[node.index])
        self.own[node.index].clear()
        self.foreign[node.index].clear()
        phase = stream(self.world.seed, f"silence/{node.index}").random()
        for request in [*requests, *waiting]:
            source = request.arrival.source
            if source != node.index and self.world.nodes[source].alive:
                self.kernel.after(SILENCE_SECONDS - 8.0 + phase * 13.0, self._requeue, (node, request))

    def _requeue(self, packed: tuple[SimNode, Request]) -> None:
        dead, request = packed
        self.world.recorder.restarted(self.kernel.now - dead.died_at)
        request.path = ()
        self.own[request.arrival.source].appendleft(request)

    # ---- periodic jobs; they stop when nothing is left to do ----

    def _again(self, seconds: float, job: object, node: SimNode) -> None:
        gone = node.died_at < float("inf")
        if not gone and not (self.open == 0 and self.world.all_arrived()):
            self.kernel.after(seconds, job, node)  # type: ignore[arg-type]  # one of the three methods above

    def _poll(self, node: SimNode) -> None:
        self.usage[node.index] = node.engine.usage()
        self.metric_waiting[node.index] = len(node.engine.waiting)
        self.world.network.messages += len(self.world.nodes) - 1  # its gossip has the same period
        self._again(METRICS_SECONDS, self._poll, node)

    def _stake(self, node: SimNode) -> None:
        index = node.index
        if node.spec.fixed_stake:
            return
        if not node.alive:
            self._again(STAKE_SECONDS, self._stake, node)
            return
        queued = len(self.own[index]) + len(self.foreign[index])
        wanted = paper_stake_target(self.usage[index], node.config.target_usage, self.metric_waiting[index], queued)
        left = self.credits[index] - node.stake
        moved = next_paper_stake(node.stake, wanted, max(left, 0))
        if moved != node.stake:
            node.stake = moved
            self.world.stakes_changed()
        self._again(STAKE_SECONDS, self._stake, node)

    def _tick(self, node: SimNode) -> None:
        """One request a tick, users first."""
        for line in (self.own[node.index], self.foreign[node.index]):
            if line:
                self._dispatch(node, line, line.popleft())
                break
        self._again(TICK_SECONDS, self._tick, node)

    # ---- the rule ----

    def _dispatch(self, node: SimNode, line: deque[Request], request: Request) -> None:
        case = self._case(node, request, None)
        decision = node.policy.decide(case, node.dice)
        if isinstance(decision, Ask) and self.credits[node.index] > 0:
            bids = self._probe(node, case.request, decision.count)
            decision = node.policy.decide(self._case(node, request, bids), node.dice)
        if isinstance(decision, ServeHere):
            node.submit(request)
        elif isinstance(decision, Offload):
            self._send(node, request, decision.bid)
        else:
            line.appendleft(request)

    def _case(self, node: SimNode, request: Request, bids: tuple[Bid, ...] | None) -> Case:
        arrival = request.arrival
        here = Here(None, 0.0, self.usage[node.index], node.engine.in_flight, has_slot=True)
        draw_id = Bytes32(self.ids.randbytes(32))
        route = RouteRequest(draw_id, ("any",), arrival.prompt, arrival.max_tokens, None, request.path)
        return Case(route, here, 1.0, len(self.world.nodes) - 1, bids)

    def _probe(self, node: SimNode, route: RouteRequest, count: int) -> tuple[Bid, ...]:
        walk = Walk(node.address, route, node.config, self._know)
        seed = draw_seed(route.request_id, self.world.block_hash, node.address)
        order = self.world.stakes().order(seed)
        chosen = choose_candidates(islice(order, len(self.world.nodes)), walk, count).chosen
        bids = []
        for address in chosen:
            peer = self.world.by_address[address]
            self.world.network.messages += 2
            bid = self._answer(node, peer)
            if bid is not None:
                bids.append(bid)
        return tuple(bids)

    def _know(self, address: Address) -> Skip | None:
        peer = self.world.by_address[address]
        silent = self.kernel.now - peer.died_at
        return None if peer.alive or 0 <= silent < SILENCE_SECONDS else Skip.DEAD

    def _answer(self, node: SimNode, peer: SimNode) -> Bid | None:
        """The accept rule: U < accept frequency, own user queue empty, engine below its target."""
        if not peer.alive:
            return None
        route = RouteRequest(Bytes32(b"\x00" * 32), ("any",), 1, 1)
        here = Here(NO_FORECAST, 0.0, self.usage[peer.index], peer.engine.in_flight, has_slot=True)
        case = Case(route, here, 1.0, 1)
        enquiry = Enquiry(case, node.address, self.kernel.now, Amount(1), frozenset({"any"}), len(self.own[peer.index]))
        bid = answer_enquiry(peer.config, peer.address, enquiry, peer.dice)
        return bid if isinstance(bid, Bid) else None

    def _send(self, node: SimNode, request: Request, bid: Bid) -> None:
        peer = self.world.by_address[bid.provider]
        request.path = (*request.path, node.address)
        request.hops += 1
        self.sent[node.index][request] = None
        self.world.network.messages += 2
        self.kernel.after(self.world.network.seconds(node.index, peer.index), self._receive, (peer, request))

    def _receive(self, packed: tuple[SimNode, Request]) -> None:
        peer, request = packed
        if peer.alive:
            self.foreign[peer.index].append(request)
        else:
            self.kernel.after(SILENCE_SECONDS, self._requeue, (peer, request))
