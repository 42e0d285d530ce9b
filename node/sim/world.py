"""What all simulated systems share: nodes with their engines and estimates, requests, the record of what came of them.

Holds no routing rule: systems (node/sim/systems) ask the policies of node/core/routing.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from node.core.hashing import keccak, word
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import StakeTable
from node.core.routing.forecast import build_forecast, idle_finish_seconds
from node.core.routing.lengths import LengthModel
from node.core.routing.load import EngineLoad, Job, Queued, has_room
from node.core.routing.policy import Policy, build_policy
from node.core.routing.speed import SpeedLearner
from node.core.routing.trust import NEWCOMER, PeerRecord
from node.core.routing.types import Forecast, Here
from node.core.types import Address, Amount, Bytes32
from node.sim.engine import Engine, Work
from node.sim.kernel import Kernel
from node.sim.network import Network
from node.sim.profiles import scale_profile
from node.sim.record import Recorder
from node.sim.scenario import NodeSpec, Scenario
from node.sim.workload import Arrival, stream

FIRST_GUESS_ERROR = 1.3
"""A node starts with a speed guess off by up to this factor either way, and learns."""
FRESH_SECONDS = 0.05
"""What a node worked out for a request is looked up again so long, if nothing came or went: two or three steps."""
_job: Callable[[tuple[float, int]], Job] = partial(tuple.__new__, Job)
"""A Job of a pair, without the named tuple's own constructor, which is four times as slow."""


class Request:
    """One request on its way through a system.

    `twin` is the other copy of a hedged request; `shadow` is told the end of work that no user waits for (a duel's).
    """

    __slots__ = (
        "arrival",
        "asking",
        "bid",
        "dropped",
        "first_at",
        "glances",
        "holder",
        "hops",
        "number",
        "path",
        "promises",
        "request_id",
        "restarts",
        "sent_at",
        "shadow",
        "twin",
        "work",
    )  # fmt: skip

    def __init__(self, number: int, arrival: Arrival, request_id: Bytes32) -> None:
        self.number, self.arrival, self.request_id = number, arrival, request_id
        self.first_at = self.sent_at = -1.0
        self.hops = self.restarts = 0
        self.path: tuple[Address, ...] = ()
        self.holder: SimNode | None = None
        self.work: Work | None = None
        self.bid: Forecast | None = None
        self.glances: dict[SimNode, tuple[int, float, Here]] = {}
        self.promises: dict[Address, Forecast] = {}
        self.asking = self.dropped = False
        self.twin: Request | None = None
        self.shadow: Callable[[], None] | None = None

    def copy(self) -> "Request":
        """A second run of the same request (a hedge, a duel)."""
        return Request(self.number, self.arrival, self.request_id)


class System(Protocol):
    """A way of running the nodes. Built from the world; told of arrivals and of what engines do."""

    def arrive(self, request: Request) -> None:
        """A user's request reaches its own node."""

    def on_done(self, node: "SimNode", request: Request) -> None:
        """The answer is complete at `node`."""

    def on_room(self, node: "SimNode") -> None:
        """Something ended on the engine of `node`."""

    def on_lost(self, node: "SimNode", requests: list[Request]) -> None:
        """`node` died or left with these on it."""


class SimNode:
    """One node: an engine, what it has learned, its queue and its settings."""

    __slots__ = (
        "address", "alive", "away", "config", "dice", "died_at", "earned", "engine", "index", "learner", "lengths",
        "policy", "promised", "queue", "records", "served", "spec", "spent", "stake", "system", "world",
    )  # fmt: skip

    def __init__(self, world: "World", index: int, spec: NodeSpec, config: ProviderConfig) -> None:
        self.world, self.index, self.spec, self.config = world, index, spec, config
        self.address = Address(keccak(b"node" + word(index))[:20])
        self.dice = stream(world.seed, f"node/{index}")
        self.policy: Policy = build_policy(config)
        guess = scale_profile(spec.engine, FIRST_GUESS_ERROR ** self.dice.uniform(-1, 1))
        self.learner = SpeedLearner(guess.speed)
        self.lengths = LengthModel()
        self.engine = Engine(world.kernel, spec.engine, self)
        self.system: System
        self.queue: deque[Request] = deque()
        self.promised: deque[tuple[float, int]] = deque()
        self.records: dict[int, PeerRecord] = {}
        self.away: dict[int, dict[Request, None]] = {}
        self.stake, self.alive, self.died_at = spec.stake, spec.joins_at <= 0, float("inf")
        self.served = self.earned = self.spent = 0

    # ---- what the node knows of its own engine: the input of the pure code ----

    def expected_tokens(self, max_tokens: int) -> float:
        """Expected length of a new answer."""
        return self.lengths.remaining(0, max_tokens)

    def load(self) -> EngineLoad:
        """The engine's load, every request in flight counted with what the node has seen of it."""
        engine = self.engine
        running, step = engine.running, engine.steps_now() + 1
        made = [step - work.start_step for work in running]
        known = [(work.made + new, work.cap) for work, new in zip(running, made, strict=True)]
        held = [work.prompt + new for work, new in zip(running, made, strict=True)]
        jobs = list(map(_job, sorted(zip(self.lengths.remaining_of(known), held, strict=True))))
        queue = []
        if engine.prefilling or engine.waiting:
            queued = [*engine.prefilling, *engine.waiting]
            expected = self.lengths.remaining_of([(work.made, work.cap) for work in queued])
            queue = list(map(Queued, [work.prompt for work in queued], expected))
        return EngineLoad(jobs, queue, engine.limits)

    def here(self, request: Request) -> Here:
        """The engine as a policy sees it, for this request; the last look is good for a moment if nothing changed."""
        state, now = self.engine.changes << 20 | len(self.queue), self.world.kernel.now
        glance = request.glances.get(self)
        if glance and glance[0] == state and now - glance[1] <= FRESH_SECONDS:
            return glance[2]
        here = self._look(request)
        request.glances[self] = (state, now, here)
        return here

    def _look(self, request: Request) -> Here:
        if self.spec.no_engine:
            return Here(None, 0.0, 0.0, 0, has_slot=False)
        arrival, load, speed = request.arrival, self.load(), self.learner.speed()
        expected = self.expected_tokens(arrival.max_tokens)
        has_slot = not self.queue and has_room(load, arrival.prompt, expected)
        for waiting in self.queue:
            load.queue.append(Queued(waiting.arrival.prompt, self.expected_tokens(waiting.arrival.max_tokens)))
        forecast = build_forecast(load, speed, arrival.prompt, expected)
        idle = idle_finish_seconds(speed, arrival.prompt, expected)
        return Here(forecast, idle, load.usage, load.in_flight, has_slot)

    def has_slot(self, request: Request) -> bool:
        """Whether the engine can take this request now without throwing work away later."""
        expected = self.expected_tokens(request.arrival.max_tokens)
        return has_room(self.load(), request.arrival.prompt, expected)

    def submit(self, request: Request) -> None:
        """Hand it to the engine."""
        request.holder = self
        arrival = request.arrival
        request.work = Work(request, arrival.prompt, arrival.tokens, arrival.max_tokens)
        self.engine.submit(request.work)

    def record(self, peer: "SimNode") -> PeerRecord:
        """What this node has learned of a peer."""
        return self.records.get(peer.index, NEWCOMER)

    # ---- told by the engine ----

    def on_first_token(self, work: Work) -> None:
        """Remember when the first token left."""
        request = work.key
        assert isinstance(request, Request)
        if request.first_at < 0:
            request.first_at = self.world.kernel.now
        if request.twin is not None:
            end_race(request)

    def on_done(self, work: Work) -> None:
        """Learn the length, count it, tell the system."""
        request = work.key
        assert isinstance(request, Request)
        if request.shadow is not None:
            request.shadow()
            return
        self.lengths.observe(request.arrival.tokens)
        self.served += 1
        self.system.on_done(self, request)

    def on_room(self) -> None:
        """Pass it on."""
        self.system.on_room(self)

    def on_steps(self, step_seconds: float, sequences: int, kv_tokens: float) -> None:
        """Learn the engine's speed."""
        self.learner.observe_steps(step_seconds, sequences, kv_tokens)


class World:
    """One run: kernel, nodes, network, recorder."""

    def __init__(self, scenario: Scenario, config: ProviderConfig, seed: int) -> None:
        self.scenario, self.seed = scenario, seed
        self.kernel = Kernel()
        self.network = Network(scenario.network, len(scenario.nodes), stream(seed, "network"))
        self.nodes = [SimNode(self, index, spec, spec.config or config) for index, spec in enumerate(scenario.nodes)]
        self.by_address = {node.address: node for node in self.nodes}
        self.recorder = Recorder()
        self.block_hash = keccak(b"block" + word(seed))
        self._stakes: StakeTable | None = None
        self._count = 0
        self._more = True

    def all_arrived(self) -> bool:
        """Whether the workload is exhausted."""
        return not self._more

    def stakes(self) -> StakeTable:
        """The stake snapshot the draws use."""
        if self._stakes is None:
            self._stakes = StakeTable((node.address, Amount(node.stake)) for node in self.nodes)
        return self._stakes

    def stakes_changed(self) -> None:
        """Take a new snapshot at the next draw."""
        self._stakes = None

    def start(self, system: System) -> None:
        """Schedule the arrivals one after another, and the comings and goings of nodes."""
        for node in self.nodes:
            node.system = system
            self._schedule_life(node, system)
        arrivals = iter(self.scenario.arrivals(self.seed))
        self._more = True
        ids = stream(self.seed, "request-ids")

        def next_arrival(_: object) -> None:
            arrival = next(arrivals, None)
            if arrival is None:
                self._more = False
            else:
                self.kernel.at(arrival.at, bring, arrival)

        def bring(arrival: Arrival) -> None:
            request = Request(self._count, arrival, Bytes32(ids.randbytes(32)))
            self._count += 1
            self.recorder.arrived()
            next_arrival(None)
            system.arrive(request)

        next_arrival(None)

    def finish(self, node: SimNode, request: Request) -> None:
        """The answer has reached its user."""
        back = self.network.seconds(node.index, request.arrival.source)
        request.work = None  # it knows the request: without this only the collector would free the two
        request.glances.clear()
        self.recorder.answered(request.arrival, request.first_at + back, self.kernel.now + back, node.index)

    def _schedule_life(self, node: SimNode, system: System) -> None:
        spec, kernel = node.spec, self.kernel
        if spec.joins_at > 0:
            kernel.at(spec.joins_at, _join, node)
        if spec.dies_at < float("inf"):
            kernel.at(spec.dies_at, _killer(system), node)
        if spec.leaves_at < float("inf"):
            kernel.at(spec.leaves_at, _killer(system), node)


def end_race(winner: Request) -> None:
    """The first copy to speak goes on; the other leaves its engine or queue, or is turned away on arrival."""
    loser, winner.twin = winner.twin, None
    assert loser is not None
    loser.twin, loser.asking, loser.dropped = None, False, True
    holder, work = loser.holder, loser.work
    if holder is not None and work is not None:
        holder.engine.cancel(work)
    elif holder is not None and loser in holder.queue:
        holder.queue.remove(loser)


def _join(node: SimNode) -> None:
    node.alive = True


def _killer(system: System) -> Callable[[SimNode], None]:
    def kill(node: SimNode) -> None:
        node.alive, node.died_at = False, node.world.kernel.now
        lost = [work.key for work in node.engine.fail() if isinstance(work.key, Request)]
        lost.extend(node.queue)
        node.queue.clear()
        system.on_lost(node, lost)

    return kill
