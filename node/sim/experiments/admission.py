"""Refusing early: what SLO-aware admission does for those who are served, when there is more work than can be done."""

from dataclasses import replace

from node.sim.experiments.base import Options, Section, Table, number
from node.sim.record import percentile
from node.sim.run import OWN_USERS_LAST, run
from node.sim.scenario import S2_SCHEDULE, NodeSpec, Scenario, paper_scenario
from node.sim.stats import interval
from node.sim.workload import REASONING, Arrival, Phase, poisson_arrivals

DEADLINE = 250.0
OVERLOAD = 1.6
OURS = replace(OWN_USERS_LAST, policy="adaptive")
TEXT = f"""\
S2 with {OVERLOAD:g} times its arrivals and a deadline of {DEADLINE:g} s on every request. A refusal (429 with
`Retry-After`) counts as missed. Refusing pays twice: the client learns at once, and the engine is not slowed by
answers nobody waits for.
"""


def overloaded(seed: int) -> list[Arrival]:
    """S2's phases at a higher rate."""
    phases = [[Phase(phase.until, phase.rate * OVERLOAD) for phase in node] for node in S2_SCHEDULE]
    return poisson_arrivals(phases, REASONING, seed)


def admission(options: Options) -> Section:
    """Run and report."""
    nodes: tuple[NodeSpec, ...] = paper_scenario("S2").nodes
    rows = []
    for name, deadline, config in (
        ("serves everybody", None, OURS),
        ("refuses what would be late", DEADLINE, OURS),
        ("knows the deadline, refuses nobody", DEADLINE, replace(OURS, refuse_late=False)),
    ):
        scenario = Scenario("overload", nodes, overloaded, thresholds=(DEADLINE,), deadline=deadline)
        runs = [run(scenario, "adaptive", seed, config) for seed in range(1, options.seeds + 1)]
        met = interval([done.summary.slo[f"{DEADLINE:g}"] for done in runs])
        refused = interval([len(done.recorder.refusals) / done.summary.requests for done in runs])
        told = sorted(wait for done in runs for wait in done.recorder.refusals)
        late = interval([done.summary.answered / done.summary.requests for done in runs]).mean - met.mean
        rows.append(
            (
                name,
                number(met, 3),
                number(refused, 3),
                f"{late:.3f}",
                f"{percentile(told, 0.5):.2f}",
                f"{percentile(told, 0.95):.1f}",
            )
        )
    heading = ("policy", "met the deadline", "refused", "answered late", "median s until refused", "p95")
    return Section(
        slug="admission",
        title="Admission under overload",
        answers="refuse early rather than late",
        text=TEXT,
        tables=(Table(heading, tuple(rows)),),
    )
