"""All experiments in order, one section each; resumable, because finished runs are kept in a store."""

from collections.abc import Callable, Iterable
from pathlib import Path

from node.sim.experiments.ablations import ablations
from node.sim.experiments.admission import admission
from node.sim.experiments.azure import azure
from node.sim.experiments.base import Options, Section
from node.sim.experiments.churn import churn
from node.sim.experiments.coalitions import coalitions
from node.sim.experiments.engine_check import engine_check
from node.sim.experiments.headline import headline
from node.sim.experiments.liars import liars
from node.sim.experiments.networks import networks
from node.sim.experiments.quality import quality
from node.sim.experiments.scale import scale
from node.sim.experiments.stakes import stakes
from node.sim.report import write_report

EXPERIMENTS: dict[str, Callable[[Options], Section]] = {
    "headline": headline,
    "azure": azure,
    "churn": churn,
    "networks": networks,
    "ablations": ablations,
    "admission": admission,
    "stakes": stakes,
    "liars": liars,
    "quality": quality,
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

Not reproduced: absolute latencies of S2 and S3 beyond their calibration (the paper does not publish S2's schedule
nor the A100s' interconnect); S4 (no published numbers; its GPU-model pairs are our choice); the 1.5x claim's exact
setting (not stated); requests served by attention backend (788 / 786 / 426) and by GPU (1717 / 1195 / 1088), whose
workload is not given; answer quality itself (win rates are inputs here; `make duels-live` measures real ones).
"""


def reproduce(options: Options, only: Iterable[str] = ()) -> Path:
    """Run the chosen experiments (all by default) and write the report. Raises KeyError for an unknown one."""
    names = list(only) or list(EXPERIMENTS)
    sections = [EXPERIMENTS[name](options) for name in names]
    write_report(sections, PREFACE, options.out)
    return options.out / "README.md"
