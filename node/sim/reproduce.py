"""All experiments in order, one section each; resumable, because finished runs are kept in a store."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from node.sim.experiments.ablations import ablations
from node.sim.experiments.admission import admission
from node.sim.experiments.azure import azure
from node.sim.experiments.base import Options, Section
from node.sim.experiments.churn import churn
from node.sim.experiments.coalitions import coalitions
from node.sim.experiments.duel_work import duel_work
from node.sim.experiments.engine_check import engine_check
from node.sim.experiments.headline import headline
from node.sim.experiments.hedging import hedging
from node.sim.experiments.incentives import incentives
from node.sim.experiments.liars import liars
from node.sim.experiments.networks import networks
from node.sim.experiments.quality import quality
from node.sim.experiments.scale import scale
from node.sim.experiments.stakes import stakes
from node.sim.experiments.workloads import workloads
from node.sim.report import write_report

EXPERIMENTS: dict[str, Callable[[Options], Section]] = {
    "headline": headline,
    "azure": azure,
    "workloads": workloads,
    "churn": churn,
    "networks": networks,
    "ablations": ablations,
    "admission": admission,
    "hedging": hedging,
    "incentives": incentives,
    "stakes": stakes,
    "liars": liars,
    "quality": quality,
    "duel-work": duel_work,
    "coalitions": coalitions,
    "engine": engine_check,
    "scale": scale,
}

PREFACE = """\
Written by `make reproduce`; every figure has its numbers in `data/`. How the simulator works, what was calibrated
and what its limits are: [docs/simulator.md](../simulator.md).

All systems get the same requests, seed by seed; intervals are 95 % (Student's t over seeds), differences are paired
by seed. Settings of `adaptive` were chosen on training seeds 1000-1011; everything here is on test seeds 1, 2, ...
Every request is in every denominator.

Where the paper's figures are (its numbering; it has one seed and no intervals, we have at least five):

| figure | what it shows | here |
|---|---|---|
| 4 | the way of a request (a drawing) | [docs/architecture.md](../architecture.md); nothing to measure |
| 5 | SLO attainment in four settings | The paper's settings S1-S4, `slo_curves.png` |
| 6 | credits over time and duel outcomes, random responders | Quality incentives, `quality.png` |
| 7 | latency while nodes join and leave | Churn and fail-over, `churn.png` |
| 8 | running requests by stake and acceptance; SLO by offload rate | `policies.png`; Ablations, `offload_slo.png` |
| 9, 10 | credits by model size, by quantisation | Quality incentives, `quality.png` |
| 11, 12 | credits by attention backend, by GPU | Who earns, `credits_by_kind.png` |

Not reproduced, and why: absolute latencies of S2 and S3 beyond their calibration (the paper does not publish S2's
schedule nor the A100s' interconnect); S4's (no published numbers; its GPU-model pairs are our choice); the exact
setting of the 1.5x claim (not stated); the absolute numbers of requests served by backend and by GPU (their load is
not given: we compare shares); answer quality itself (win rates are inputs here; `make duels-live` measures real ones).
"""


def reproduce(options: Options, only: Iterable[str] = ()) -> Path:
    """Run the chosen experiments (all by default) and write the report. Raises KeyError for an unknown one."""
    names = list(only) or list(EXPERIMENTS)
    sections = [replace(EXPERIMENTS[name](options), made=_made(options)) for name in names]
    write_report(sections, PREFACE, options.out, list(EXPERIMENTS))
    return options.out / "README.md"


def _made(options: Options) -> str:
    return f"{'shortened runs' if options.quick else 'full length'}, commit `{options.commit}`"
