"""Hedging: a second copy of an offload whose first token is late. Tried, measured, and not shipped."""

from dataclasses import replace
from typing import Any

from node.sim.experiments.base import Options, Section, Table, number, run_many
from node.sim.experiments.liars import liar_scenario
from node.sim.run import run
from node.sim.scenario import Scenario, paper_scenario
from node.sim.stats import interval, paired

CASES = ("S1", "S3", "honest chat", "a liar (x20)")
AFTER: tuple[float | None, ...] = (None, 1.0, 3.0)
TEXT = """\
An offload whose first token is later than so many times its promise (and half a second) gets a second copy through
the ordinary rule; the first copy to speak goes on, the other is cancelled. The broken promise goes into the slow
peer's record either way.

Result: no gain beyond noise. In S1 and S3 no promise is broken; among chat nodes a second copy costs about what it
saves, because every copy takes its share of an engine that is limited by memory, and a liar is found out by its record
(`Liars about load`) after a few requests. A dead peer is noticed by its silence, which is fail-over, not hedging. So
the node has no hedging.
"""


def hedging(options: Options) -> Section:
    """Run and report."""
    seeds = options.scaled(5, 2)
    cases = CASES[::3] if options.quick else CASES
    todo = [(case, after, seed) for case in cases for after in AFTER for seed in range(1, seeds + 1)]
    found = dict(zip(todo, run_many(options, hedged_run, todo), strict=True))
    rows = []
    for case in cases:
        for after in AFTER:
            mine = [found[case, after, seed] for seed in range(1, seeds + 1)]
            base = [found[case, None, seed] for seed in range(1, seeds + 1)]
            against = paired([one["mean"] for one in mine], [one["mean"] for one in base])
            rows.append(
                (
                    case,
                    "never" if after is None else f"after {after:g} x promise",
                    *(number(interval([one[key] for one in mine]), 2) for key in ("mean", "p99", "ttft_mean")),
                    f"{against.mean:+.2f} ± {against.half:.2f}",
                    f"{interval([one['hedges'] for one in mine]).mean:.0f}",
                )
            )
    heading = ("case", "second copy", "mean s", "p99 s", "TTFT s", "mean against never", "copies")
    return Section(
        slug="hedging",
        title="Hedging",
        answers="does sending a late request twice pay",
        text=TEXT,
        seeds=seeds,
        tables=(Table(heading, tuple(rows)),),
    )


def hedged_run(case: tuple[str, float | None, int]) -> dict[str, Any]:
    """One run's figures and how many copies it made."""
    name, after, seed = case
    done = run(replace(_scenario(name), hedge_after=after), "adaptive", seed)
    summary = done.summary
    return {
        "mean": summary.mean, "p99": summary.p99, "ttft_mean": summary.ttft_mean, "hedges": float(done.hedges),
    }  # fmt: skip


def _scenario(name: str) -> Scenario:
    if name in ("S1", "S3"):
        return paper_scenario(name)
    return liar_scenario(1.0, slow=1.0) if name == "honest chat" else liar_scenario(20.0)
