"""One knob at a time: the paper's ablations in `paper`, and what each part of `adaptive` is worth."""

from collections.abc import Mapping
from dataclasses import replace

from node.core.routing.config import PAPER
from node.sim.compare import Done, as_json
from node.sim.curves import SWEEP, curve, relative
from node.sim.experiments.base import Figure, Options, Section, Table, Variant, number, percent, run_variants
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.run import OWN_USERS_LAST
from node.sim.scenario import paper_scenario
from node.sim.stats import interval

SETTINGS = ("S1", "S3")
MOST_SEEDS = 5
"""Thirty-four variants: five seeds show the direction of each."""
OURS = replace(OWN_USERS_LAST, policy="adaptive")
VARIANTS = (
    Variant("paper", "paper", PAPER),
    *(
        Variant(f"paper, offload {share:.0%}", "paper", replace(PAPER, offload_frequency=share))
        for share in (0.5, 0.75, 1.0)
    ),
    *(
        Variant(f"paper, accept {share:.0%}", "paper", replace(PAPER, accept_frequency=share))
        for share in (0.2, 0.5, 1.0)
    ),
    *(Variant(f"paper, target {share:.0%}", "paper", replace(PAPER, target_usage=share)) for share in (0.2, 0.4, 0.6)),
    Variant("adaptive", "adaptive", OURS),
    *(Variant(f"adaptive, {count} bid(s)", "adaptive", replace(OURS, candidates=count)) for count in (1, 2)),
    Variant("adaptive, always three different peers", "adaptive", replace(OURS, distinct_candidates=True)),
    Variant("adaptive, selfish (no congestion term)", "adaptive", replace(OURS, congestion_weight=0.0)),
    *(
        Variant(f"adaptive, offload {share:.0%}", "adaptive", replace(OURS, offload_frequency=share))
        for share in (0.0, 0.5)
    ),
    *(
        Variant(f"adaptive, accept {share:.0%}", "adaptive", replace(OURS, accept_frequency=share))
        for share in (0.2, 0.5)
    ),
)
TEXT = """\
The paper's rule gains most by a lower target usage: it offloads too late, because its target is the share of the KV
memory in use, which says little about speed. `adaptive` has no such target; it loses little with fewer bids and
keeps most of its gain when half of the peers' answers are refusals, which is what a provider's freedom of policy
amounts to.
"""


def ablations(options: Options) -> Section:
    """Run and report."""
    settings = SETTINGS[:1] if options.quick else SETTINGS
    seeds = min(options.seeds, MOST_SEEDS)
    runs = {name: run_variants(options, paper_scenario(name), VARIANTS, seeds) for name in settings}
    rows = []
    for variant in VARIANTS:
        cells = [variant.label]
        for groups in runs.values():
            base = groups["paper" if variant.system == "paper" else "adaptive"]
            cells.extend(_cells(groups[variant.label], base))
        rows.append(tuple(cells))
    _draw(options, runs[settings[0]])
    heading = ["variant"]
    for name in settings:
        heading.extend((f"{name} mean s", "change", f"{name} p99 s"))
    return Section(
        slug="ablations",
        title="Ablations",
        answers="the paper's ablations (offload frequency: figure 8 right; accept frequency) and ours",
        text=TEXT,
        tables=(Table(tuple(heading), tuple(rows)),),
        figures=(Figure("offload_slo.png", "SLO attainment by offload frequency, S1 (figure 8, right)."),),
        seeds=seeds,
        numbers={name: as_json(groups) for name, groups in runs.items()},
    )


def _cells(results: list[Done], base: list[Done]) -> tuple[str, str, str]:
    mean = interval([done.summary.mean for done in results])
    return number(mean), percent(relative(results, base)), f"{interval([d.summary.p99 for d in results]).mean:.1f}"


def _draw(options: Options, groups: Mapping[str, list[Done]]) -> None:
    canvas, axes = panels(2, 2)
    for axis, system in zip(axes, ("paper", "adaptive"), strict=True):
        shown = [label for label in groups if label.startswith(f"{system}, offload")]
        lines = {label.partition(", ")[2]: (SWEEP, curve(groups[label])) for label in shown}
        if system == "adaptive":
            lines["offload 100%"] = (SWEEP, curve(groups[system]))
        draw_lines(axis, lines, Labels(system, "latency threshold, s", "SLO attainment"))
        axis.set_ylim(0, 1.03)
        axis.legend(fontsize=7)
    save(canvas, options.out / "figures" / "offload_slo.png")
