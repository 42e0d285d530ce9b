"""Refusing early: what SLO-aware admission does for those who are served, when there is more work than can be done."""

from dataclasses import replace
from typing import Any

from node.core.routing.config import ProviderConfig
from node.sim.experiments.base import Options, Section, Table, number, run_many
from node.sim.record import percentile
from node.sim.run import OWN_USERS_LAST, run
from node.sim.scenario import S2_SCHEDULE, Scenario, paper_scenario
from node.sim.stats import interval
from node.sim.workload import REASONING, Arrival, Phase, poisson_arrivals

DEADLINE = 250.0
OVERLOAD = 1.6
MOST_SEEDS = 5
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


def play_overload(case: tuple[float | None, ProviderConfig, int]) -> dict[str, Any]:
    """One overloaded run."""
    deadline, config, seed = case
    nodes = paper_scenario("S2").nodes
    scenario = Scenario("overload", nodes, overloaded, thresholds=(DEADLINE,), deadline=deadline)
    done = run(scenario, "adaptive", seed, config)
    return {
        "met": done.summary.slo[f"{DEADLINE:g}"],
        "refusals": list(done.recorder.refusals),
        "requests": done.summary.requests,
        "answered": done.summary.answered,
    }


def admission(options: Options) -> Section:
    """Run and report."""
    rows, seeds = [], min(options.seeds, MOST_SEEDS)
    for name, deadline, config in (
        ("serves everybody", None, OURS),
        ("refuses what would be late", DEADLINE, OURS),
        ("knows the deadline, refuses nobody", DEADLINE, replace(OURS, refuse_late=False)),
    ):
        runs = run_many(options, play_overload, [(deadline, config, seed) for seed in range(1, seeds + 1)])
        met = interval([one["met"] for one in runs])
        refused = interval([len(one["refusals"]) / one["requests"] for one in runs])
        told = sorted(wait for one in runs for wait in one["refusals"])
        late = interval([one["answered"] / one["requests"] for one in runs]).mean - met.mean
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
        seeds=seeds,
        tables=(Table(heading, tuple(rows)),),
    )
