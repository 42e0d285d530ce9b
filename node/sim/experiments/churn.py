"""Nodes that leave, join and die: the paper's churn experiment (its moving averages) and how long a fail-over takes."""

from collections.abc import Sequence
from functools import partial

from node.sim.compare import Done, as_json
from node.sim.curves import moving_average
from node.sim.experiments.base import Figure, Options, Section, Table, number, plain_variants, run_variants
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.profiles import build_profile
from node.sim.record import percentile
from node.sim.run import run
from node.sim.scenario import NodeSpec, Scenario, paper_scenario
from node.sim.stats import interval
from node.sim.workload import REASONING, Phase, poisson_arrivals

END = 1200.0
LEAVES_AT, JOINS_AT = 400.0, 800.0
DIES_AT = 330.0
WINDOW = 45
SYSTEMS = ("central", "paper", "adaptive")
TEXT = """\
Churn: users at one node ask 1/4 per second for 1200 s; of three nodes one leaves (without a word) at 400 s, a fresh
one joins at 800 s. Fail-over: S1 with node 3, which has taken others' requests, killed at 330 s; measured from the
death to the moment a request that was on it begins again elsewhere. The simulated detection is a stall of 1.5 s in
the stream (three missed keep-alives); the live network's own figure is in `make net-test`. Requests of the dead
node's own users are lost with it and count as missed, except under `central`, whose one dispatcher is assumed never
to die.
"""


def churn_scenario() -> Scenario:
    """Three nodes, one leaving, a fourth joining; all users at the first."""
    engine = build_profile("RTX 6000 Ada", "Qwen3-8B")
    nodes = (
        NodeSpec(engine),
        NodeSpec(engine),
        NodeSpec(engine, leaves_at=LEAVES_AT),
        NodeSpec(engine, joins_at=JOINS_AT),
    )
    schedule: tuple[list[Phase], ...] = ([Phase(END, 1 / 4)], [], [], [])
    return Scenario("churn", nodes, partial(poisson_arrivals, schedule, REASONING))


def failover_scenario() -> Scenario:
    """S1 with a death."""
    scenario = paper_scenario("S1")
    nodes = tuple(
        NodeSpec(spec.engine, dies_at=DIES_AT) if index == 2 else spec for index, spec in enumerate(scenario.nodes)
    )
    return Scenario("fail-over", nodes, scenario.arrivals)


def churn(options: Options) -> Section:
    """Run and report."""
    groups = run_variants(options, churn_scenario(), plain_variants(SYSTEMS))
    deaths = run_variants(options, failover_scenario(), plain_variants(SYSTEMS))
    _draw(options)
    return Section(
        slug="churn",
        title="Churn and fail-over",
        answers="the paper's churn figure (leave at 400 s, join at 800 s); fail-over time, published as 12-25 s",
        text=TEXT,
        tables=(_churn_table(groups), _death_table(deaths)),
        figures=(Figure("churn.png", f"Moving average of latency over {WINDOW} requests, one seed."),),
        seeds=options.seeds,
        numbers={"churn": as_json(groups), "fail-over": as_json(deaths)},
    )


def _churn_table(groups: dict[str, list[Done]]) -> Table:
    rows = []
    for system, results in groups.items():
        cells = [number(interval([getattr(done.summary, name) for done in results])) for name in ("mean", "p99")]
        restarts = interval([float(len(done.failovers)) for done in results])
        rows.append((system, *cells, number(restarts)))
    return Table(("system", "mean s", "p99 s", "requests begun again"), tuple(rows))


def _death_table(groups: dict[str, list[Done]]) -> Table:
    rows = []
    for system, results in groups.items():
        waits: Sequence[float] = sorted(wait for done in results for wait in done.failovers)
        answered = interval([done.summary.answered / done.summary.requests for done in results])
        rows.append(
            (
                system,
                f"{len(waits)}",
                f"{percentile(waits, 0.5):.2f}",
                f"{percentile(waits, 1.0):.2f}",
                f"{answered.mean:.2%}",
            )
        )
    heading = ("system", "requests begun again", "median s after the death", "worst s", "answered")
    return Table(heading, tuple(rows))


def _draw(options: Options) -> None:
    canvas, axes = panels(1, 1, (7.0, 3.4))
    lines = {}
    for system in SYSTEMS:
        recorder = run(churn_scenario(), system, 1).recorder
        points = sorted(zip(recorder.arrivals, recorder.latency, strict=True))
        lines[system] = ([at for at, _ in points], moving_average([latency for _, latency in points], WINDOW))
    title, unit = "Churn: one of three nodes leaves, another joins", f"mean of {WINDOW} latencies, s"
    draw_lines(axes[0], lines, Labels(title, "arrival, s", unit))
    for moment, told in ((LEAVES_AT, "one leaves"), (JOINS_AT, "one joins")):
        axes[0].axvline(moment, color="#999999", linestyle=":")
        axes[0].annotate(f" {told}", (moment, 0.02), xycoords=("data", "axes fraction"), fontsize=8, color="#555555")
    axes[0].legend(fontsize=8)
    save(canvas, options.out / "figures" / "churn.png")
