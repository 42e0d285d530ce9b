"""Liars about load and free riders: a node that claims to be idle and five times as fast, with and without memory."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from node.core.routing.config import PAPER
from node.sim.curves import moving_average
from node.sim.experiments.base import Figure, Options, Section, Table, number, run_many
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.profiles import EngineProfile, build_profile, scale_profile
from node.sim.record import mean_of
from node.sim.run import OWN_USERS_LAST, run
from node.sim.scenario import NodeSpec, Scenario, paper_scenario
from node.sim.stats import interval
from node.sim.workload import SHAREGPT, Phase, poisson_arrivals

NODES = 6
LIAR = NODES - 1
SECONDS = 200.0
CLAIM = 5.0
WINDOW = 40
TEXT = """\
Six nodes, users at the first two; the last runs at a third of the speed of the others and claims in every bid to be
idle and five times as fast as it is. Dispatchers compare each promise with what happened
(`node/core/routing/trust.py`) and stretch later promises of that peer. `requests until ignored` counts the liar's
requests from one dispatcher until its share of that dispatcher's offloads over twenty requests first falls below
the fair sixth, for good or for a while.

*Free rider*: in S1, node 1 (a rush of its own users in the first 300 s) sends requests out and accepts none. Under the
paper's rule little is offloaded in time, so it changes little. Under ours the others' users wait longer and its own a
little less, and it pays for each request it sends (last column: requests' worth): refusing work is a provider's right,
and it earns nothing by it. It cannot take without paying: a node serves only against a voucher.
"""
RIDER = 0


def liar_scenario(claims: float, slow: float = 3.0) -> Scenario:
    """Six nodes, the last `slow` times slower and claiming to be `claims` times faster than it is."""
    engine: EngineProfile = build_profile("RTX 4090", "Llama-3.1-8B")
    nodes = [NodeSpec(engine) for _ in range(NODES)]
    nodes[LIAR] = NodeSpec(scale_profile(engine, slow), claims_faster=claims)
    schedule = [[Phase(SECONDS, 8.0)] if index < 2 else [] for index in range(NODES)]
    return Scenario(
        f"liar x{claims:g}", tuple(nodes), partial(poisson_arrivals, schedule, SHAREGPT), thresholds=(10.0,)
    )


def liars(options: Options) -> Section:
    """Run and report."""
    seeds = range(1, options.scaled(5, 2) + 1)
    rows, curves = [], {}
    for name, claims in (("honest", 1.0), ("claims to be 5x faster", CLAIM), ("claims to be 20x faster", 20.0)):
        runs = run_many(options, play_liar, [(claims, seed) for seed in seeds])
        late = [mean_of([flag for at, flag in one["flags"] if at > SECONDS / 2]) for one in runs]
        taken = [float(_until_ignored([flag for _, flag in one["flags"]])) for one in runs]
        means = interval([one["mean"] for one in runs])
        rows.append((name, number(interval(late), 3), number(interval(taken), 1), number(means, 2)))
        first = runs[0]["flags"]
        curves[name] = ([at for at, _ in first], moving_average([flag for _, flag in first], WINDOW))
    _draw(options, curves)
    heading = ("the slow node", "share of offloads, second half", "requests until ignored", "mean latency s")
    return Section(
        slug="liars",
        title="Liars about load, free riders",
        answers="adversaries (asked for by the reviewers); load forgery loses work within 20 requests",
        text=TEXT,
        seeds=len(seeds),
        tables=(Table(heading, tuple(rows)), _rider_table(options)),
        figures=(
            Figure("liars.png", f"Share of a dispatcher's offloads that go to the slow node (mean of {WINDOW})."),
        ),
        numbers={name: {"at": list(at), "share": list(share)} for name, (at, share) in curves.items()},
    )


def play_liar(case: tuple[float, int]) -> dict[str, Any]:
    """One run: mean latency, and the first dispatcher's offloads with 1 where the liar served."""
    claims, seed = case
    done = run(liar_scenario(claims), "adaptive", seed)
    record = done.recorder
    return {"mean": done.summary.mean, "flags": _flags(record.source, record.node, record.arrivals)}


def play_rider(case: tuple[str, float, int]) -> dict[str, Any]:
    """S1 with node 1 accepting a share of enquiries: means of its users and of the others', what it took and gave."""
    system, accepts, seed = case
    base = PAPER if system == "paper" else replace(OWN_USERS_LAST, policy=system)
    scenario = paper_scenario("S1")
    rider = replace(scenario.nodes[RIDER], config=replace(base, accept_frequency=accepts))
    done = run(replace(scenario, nodes=(rider, *scenario.nodes[1:])), system, seed)
    rows = list(zip(done.recorder.source, done.recorder.node, done.recorder.latency, strict=True))
    return {
        "own": mean_of([took for source, _, took in rows if source == RIDER]),
        "others": mean_of([took for source, _, took in rows if source != RIDER]),
        "sent": sum(source == RIDER and node != RIDER for source, node, _ in rows),
        "served": sum(source != RIDER and node == RIDER for source, node, _ in rows),
    }


def _rider_table(options: Options) -> Table:
    seeds, rows = range(1, options.scaled(5, 2) + 1), []
    for system in ("paper", "adaptive"):
        usual = PAPER.accept_frequency if system == "paper" else OWN_USERS_LAST.accept_frequency
        for name, accepts in (("takes part", usual), ("free rider", 0.0)):
            runs = run_many(options, play_rider, [(system, accepts, seed) for seed in seeds])
            cells = [number(interval([one[key] for one in runs])) for key in ("own", "others", "sent", "served")]
            balance = interval([one["served"] - one["sent"] for one in runs])
            rows.append((system, name, *cells, number(balance)))
    heading = (
        "system",
        "node 1",
        "its users' mean s",
        "others' mean s",
        "sent out",
        "served for others",
        "earned - paid",
    )
    return Table(heading, tuple(rows))


def _flags(sources: Sequence[int], served: Sequence[int], arrivals: Sequence[float]) -> list[tuple[float, float]]:
    """(arrival, 1 if the liar served it) for the first dispatcher's offloads, in order of arrival."""
    rows = zip(arrivals, sources, served, strict=True)
    return sorted((at, float(node == LIAR)) for at, source, node in rows if source == 0 and node != source)


def _until_ignored(flags: Sequence[float]) -> int:
    taken = 0
    for index, flag in enumerate(flags):
        taken += int(flag)
        window = flags[index : index + 20]
        if taken and sum(window) / len(window) < 1 / NODES:
            return taken
    return taken


def _draw(options: Options, curves: dict[str, tuple[list[float], list[float]]]) -> None:
    canvas, axes = panels(1, 1, (6.5, 3.2))
    draw_lines(axes[0], curves, Labels("A slow node that lies", "arrival, s", "share of offloads"))
    axes[0].legend(fontsize=8)
    save(canvas, options.out / "figures" / "liars.png")
