"""One run: a scenario, a system, a seed -> the figures. A pure function of its three arguments."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from node.core.routing.config import PAPER, ProviderConfig
from node.sim.record import Recorder, Summary, gini, mean_of, percentile
from node.sim.scenario import Scenario
from node.sim.systems.central import Central, CentralOracle, CentralSocial
from node.sim.systems.market import Market
from node.sim.systems.whole_paper import WholePaper
from node.sim.world import System, World

CENTRAL = {"central": Central, "central-oracle": CentralOracle, "central-social": CentralSocial}
SYSTEMS = ("single", "central", "central-oracle", "random", "power-of-two", "paper", "adaptive")
"""The systems every comparison has. `central-social` exists beside them as a second limit."""
OWN_USERS_LAST = ProviderConfig(own_users_first=False)
"""The experiments' nodes cooperate: a queue at home is no reason to refuse (the bid says how long it is)."""
COLLECT_EVERY = 100_000
"""Allocations between two looks for cycles: there are hardly any, and a look at a million requests takes long."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its summary, the raw record, the world it happened in for a closer look, copies by hedging."""

    summary: Summary
    recorder: Recorder
    world: World
    hedges: int = 0


def run(scenario: Scenario, system: str, seed: int, config: ProviderConfig | None = None) -> Run:
    """Run to the end of the last answer."""
    world = World(scenario, config or system_config(system), seed)
    running = build_system(world, system)
    world.start(running)
    with _seldom_collecting():
        world.kernel.run()
    hedges = running.hedges if isinstance(running, Market) else 0
    return Run(summarise(world, scenario), world.recorder, world, hedges)


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def system_config(system: str) -> ProviderConfig:
    """The settings each system runs with."""
    if system == "paper":
        return PAPER
    if system in CENTRAL:
        return replace(OWN_USERS_LAST, policy="single")
    return replace(OWN_USERS_LAST, policy=system, distinct_candidates=system == "power-of-two")


def build_system(world: World, system: str) -> System:
    """Raises KeyError for an unknown name."""
    if system in CENTRAL:
        return CENTRAL[system](world)
    if system == "paper":
        return WholePaper(world)
    return Market(world)


def summarise(world: World, scenario: Scenario) -> Summary:
    """The figures of a finished run."""
    recorder, nodes = world.recorder, world.nodes
    latency = sorted(recorder.latency)
    first = sorted(recorder.first)
    span = max(recorder.ended_at, 1e-9)
    best = max(scenario.thresholds)
    return Summary(
        requests=recorder.total,
        answered=len(latency),
        mean=mean_of(latency),
        p50=percentile(latency, 0.50),
        p95=percentile(latency, 0.95),
        p99=percentile(latency, 0.99),
        ttft_mean=mean_of(first),
        ttft_p99=percentile(first, 0.99),
        slo={f"{threshold:g}": recorder.attainment(threshold) for threshold in scenario.thresholds},
        throughput=len(latency) / span,
        goodput=recorder.attainment(best) * recorder.total / span,
        utilisation=mean_of([node.engine.busy_seconds / span for node in nodes]),
        messages_per_request=world.network.messages / max(recorder.total, 1),
        offloaded=sum(1 for at, source in zip(recorder.node, recorder.source, strict=True) if at != source)
        / max(len(latency), 1),
        preemptions=sum(node.engine.preemptions for node in nodes),
        gini_served=gini([node.served for node in nodes]),
    )
