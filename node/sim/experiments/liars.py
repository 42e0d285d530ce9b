"""Liars about load and free riders: a node that claims to be idle and five times as fast, with and without memory."""

from collections.abc import Sequence
from functools import partial

from node.sim.curves import moving_average
from node.sim.experiments.base import Figure, Options, Section, Table, number
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.profiles import EngineProfile, build_profile, scale_profile
from node.sim.run import run
from node.sim.scenario import NodeSpec, Scenario
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
"""


def _scenario(claims: float, slow: float = 3.0) -> Scenario:
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
        runs = [run(_scenario(claims), "adaptive", seed) for seed in seeds]
        shares = [_flags(done.recorder.source, done.recorder.node, done.recorder.arrivals) for done in runs]
        late = [_mean([flag for at, flag in flags if at > SECONDS / 2]) for flags in shares]
        taken = [float(_until_ignored([flag for _, flag in flags])) for flags in shares]
        means = interval([done.summary.mean for done in runs])
        rows.append((name, number(interval(late), 3), number(interval(taken), 1), number(means, 2)))
        curves[name] = ([at for at, _ in shares[0]], moving_average([flag for _, flag in shares[0]], WINDOW))
    _draw(options, curves)
    return Section(
        slug="liars",
        title="Liars about load",
        answers="adversaries (asked for by the reviewers); load forgery loses work within 20 requests",
        text=TEXT,
        tables=(
            Table(
                ("the slow node", "share of offloads, second half", "requests until ignored", "mean latency s"),
                tuple(rows),
            ),
        ),
        figures=(
            Figure("liars.png", f"Share of a dispatcher's offloads that go to the slow node (mean of {WINDOW})."),
        ),
    )


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


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _draw(options: Options, curves: dict[str, tuple[list[float], list[float]]]) -> None:
    canvas, axes = panels(1, 1, (6.5, 3.2))
    draw_lines(axes[0], curves, Labels("A slow node that lies", "arrival, s", "share of offloads"))
    axes[0].legend(fontsize=8)
    save(canvas, options.out / "figures" / "liars.png")
