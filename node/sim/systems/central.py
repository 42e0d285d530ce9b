"""Central dispatchers, which see every node: the paper's baseline, and the oracle that knows even the answers' lengths.

They exist as yardsticks. `CentralOracle` uses what nobody can know (true lengths, exact engine states), so its
latency is the limit that an honest policy is measured against.
"""

from node.sim.engine import Engine, Work
from node.sim.kernel import Kernel
from node.sim.profiles import EngineProfile
from node.sim.world import Request, SimNode, World

STAY_BELOW_USAGE = 0.6


class Central:
    """The paper's rule: stay at the source while its usage is below .6, else the least (usage, running + queued)."""

    def __init__(self, world: World) -> None:
        self.world = world

    def choose(self, request: Request) -> SimNode:
        """Usage is exact here and not seconds old: the strongest form of the baseline. No speed awareness."""
        source = self.world.nodes[request.arrival.source]
        if source.alive and source.engine.usage() < STAY_BELOW_USAGE:
            return source
        alive = [node for node in self.world.nodes if node.alive]
        return min(alive, key=lambda node: (node.engine.usage(), node.engine.in_flight))

    def arrive(self, request: Request) -> None:
        """Place it at once; the dispatcher has no queue of its own."""
        node = self.choose(request)
        self.world.network.messages += 2
        seconds = self.world.network.seconds(request.arrival.source, node.index)
        self.world.kernel.after(seconds, lambda _: node.submit(request))

    def on_done(self, node: SimNode, request: Request) -> None:
        """Deliver."""
        self.world.finish(node, request)

    def on_room(self, node: SimNode) -> None:
        """Engines queue for themselves here."""

    def on_lost(self, node: SimNode, requests: list[Request]) -> None:  # noqa: ARG002  # a System's shape
        """A central dispatcher sees the death at once and places everything again."""
        for request in requests:
            self.world.recorder.restarted(0.0)
            self.arrive(request)


class CentralOracle(Central):
    """Least expected completion with perfect information: it runs each engine ahead in its mind."""

    def choose(self, request: Request) -> SimNode:
        """The node where this request ends first."""
        alive = [node for node in self.world.nodes if node.alive]
        return min(alive, key=lambda node: foreseen_end(node.engine, node.spec.engine, request)[0])


class CentralSocial(Central):
    """The same information, but the least sum of everybody's latencies: own end plus the delay caused to others."""

    def choose(self, request: Request) -> SimNode:
        """The node where this request costs all users together the least."""
        alive = [node for node in self.world.nodes if node.alive]
        return min(alive, key=lambda node: sum(foreseen_end(node.engine, node.spec.engine, request)))


class _Watch:
    """Notes when each answer of an imagined run ends."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.ends: dict[object, float] = {}

    def on_first_token(self, work: Work) -> None:
        """Not of interest."""

    def on_done(self, work: Work) -> None:
        """Note the time."""
        self.ends[work.key] = self.kernel.now

    def on_room(self) -> None:
        """Not of interest."""

    def on_steps(self, step_seconds: float, sequences: int, kv_tokens: float) -> None:
        """Not of interest."""


def foreseen_end(engine: Engine, profile: EngineProfile, request: Request) -> tuple[float, float]:
    """(seconds until this request would end here, seconds it would add to all others), with no further arrivals."""
    without = _imagine(engine, profile, None)
    with_it = _imagine(engine, profile, request)
    added = sum(end - without[key] for key, end in with_it.items() if key in without)
    return with_it[request], added


def _imagine(engine: Engine, profile: EngineProfile, extra: Request | None) -> dict[object, float]:
    kernel = Kernel()
    watch = _Watch(kernel)
    twin = Engine(kernel, profile, watch)
    engine.copy_into(twin)
    if extra is not None:
        twin.submit(Work(extra, extra.arrival.prompt, extra.arrival.tokens))
    kernel.run()
    return watch.ends
