"""S1 to S4: the paper's settings, all systems on the same requests. Answers its headline claims."""

from collections.abc import Mapping, Sequence

from node.sim.compare import Done, as_json
from node.sim.curves import SWEEP, area, best_gain, curve, relative, surely_better
from node.sim.experiments.base import Figure, Options, Section, Table, number, percent, plain_variants, run_variants
from node.sim.figures import Labels, draw_bars, draw_lines, panels, save
from node.sim.record import mean_of
from node.sim.run import SYSTEMS
from node.sim.scenario import paper_scenario
from node.sim.stats import Interval, interval, paired, ratio

SETTINGS = ("S1", "S2", "S3", "S4")
PUBLISHED = {"S1": (200.38, 188.42, 184.40), "S2": (226.58, 168.22, 168.49), "S3": (237.93, 206.12, 198.31)}
"""Mean latency in seconds: single, central, WWW.Serve."""
ALL = (*SYSTEMS, "central-social")
Groups = Mapping[str, Sequence[Done]]
Curve = Sequence[float]
MOST_NAMED = 3
"""Thresholds that a cell of a table lists."""


def headline(options: Options) -> Section:
    """Run and report."""
    runs = {name: run_variants(options, paper_scenario(name), plain_variants(ALL)) for name in SETTINGS}
    _draw(options, runs)
    return Section(
        slug="headline",
        title="The paper's settings S1-S4",
        answers="Mean latency table, SLO figures and the two headline claims (1.5x SLO attainment, -27.6 % latency)",
        text=TEXT,
        tables=(_target_table(runs), _latency_table(runs), _tail_table(runs), _slo_table(runs), _limit_table(runs)),
        figures=(
            Figure("slo_curves.png", "SLO attainment over the threshold; every request is in the denominator."),
            Figure("latency_bars.png", "Mean latency with 95 % intervals over seeds."),
        ),
        seeds=options.seeds,
        numbers={name: _numbers(groups) for name, groups in runs.items()},
    )


TEXT = """\
Calibration: one answer-length median for all settings, chosen on the training seeds so that S1's `single` lands at
the published 200 s; S2's unpublished schedule and S3's tensor-parallel efficiency chosen so that their `single`
lands near the published 227 s and 238 s. Nothing else was fitted to the paper. On the test seeds `single` differs
from the target by the luck of the arrivals.

What is reproduced of WWW.Serve: its gain over `single` in S1 (published -8.0 %) within the interval; in S2 somewhat
less than published (-25.6 %), in S3 somewhat more (-16.7 %). What is not: the published WWW.Serve beats its central
baseline in S1 and S3; here `central` is a little better everywhere, because ours reads the engines' state without
delay.

S1's aim of 1.4x is the limit itself: with perfect information, at the same threshold, the oracle reaches 1.40 ± 0.06x
and `adaptive` 1.38 ± 0.06x (ten seeds), so what is missing is noise and some 1 % of attainment. Wherever the oracle is
surely above `single`, `adaptive` is too: the second column counts the thresholds, 100 to 600 s in steps of ten.

Where the limit is near: `random` and `power-of-two` already take most of the mean in S1 to S3 (nearly equal engines,
long answers). What `adaptive` adds is the tail in S3 and S4, fewer moves, and no dependence on honest queue lengths;
in S2 the p99 of `power-of-two` is a little better. Its p99 stays 4 to 10 % behind the oracle's, which knows how long
each answer will get.
"""


AIMS = {"S1": (1.4, -0.19), "S2": (1.4, -0.27), "S3": (1.2, -0.15)}
"""What we set out to reach: attainment over `single` at the best threshold, mean latency against `single`."""


def _target_table(runs: Mapping[str, Groups]) -> Table:
    """The figures to reach, and whether they were."""
    rows = []
    for name, groups in runs.items():
        ours, single, oracle = groups["adaptive"], groups["single"], groups["central-oracle"]
        best = best_gain(ours, single)
        change, gap = relative(ours, single), relative(ours, oracle)
        areas = ratio([area(done) for done in ours], [area(done) for done in oracle])
        rivals = [relative(ours, groups[rival], figure) for rival in ("paper", "central") for figure in ("mean", "p99")]
        ratio_aim, change_aim = (f"{AIMS[name][0]}x", f"{AIMS[name][1]:.0%}") if name in AIMS else ("-", "-")
        rows.append(
            (
                name,
                f"{number(best.ratio, 2)}x (aim {ratio_aim})",
                better_where(ours, single, oracle),
                f"{percent(change)} (aim {change_aim})",
                "yes" if all(rival.high < 0 for rival in rivals) else "no",
                f"{percent(gap)} (aim within 3 %)",
                f"{percent(Interval(areas.mean - 1.0, areas.half))} (aim within 2 %)",
            )
        )
    against = ("mean and p99 better than `paper` and `central`", "mean against oracle", "SLO area against oracle")
    first = ("setting", "SLO attainment over single", "thresholds where surely above `single`: oracle, of these ours")
    return Table((*first, "mean against single", *against), tuple(rows))


def better_where(ours: Sequence[Done], single: Sequence[Done], oracle: Sequence[Done], at: Curve = SWEEP) -> str:
    """At how many thresholds the oracle's paired interval over `single` lies above zero, and ours at the same."""
    limit = surely_better(oracle, single, at)
    mine = surely_better(ours, single, at)
    missing = [f"{threshold:g} s" for threshold in sorted(limit - mine)]
    named = f" (not {', '.join(missing)})" if 0 < len(missing) <= MOST_NAMED else ""
    return f"{len(limit)} of {len(at)}, {len(limit & mine)}{named}"


def _latency_table(runs: Mapping[str, Groups]) -> Table:
    heading = ("setting", "source", "single", "central", "WWW.Serve (`paper`)", "`adaptive`", "limit (oracle)")
    rows: list[tuple[str, ...]] = []
    for name, groups in runs.items():
        if name in PUBLISHED:
            single, central, paper = PUBLISHED[name]
            told = (f"{central} ({central / single - 1:+.1%})", f"{paper} ({paper / single - 1:+.1%})")
            rows.append((name, "published", f"{single}", *told, "-", "-"))
        base = groups["single"]
        changed = [
            f"{mean_of([done.summary.mean for done in groups[system]]):.1f} ({percent(relative(groups[system], base))})"
            for system in ("central", "paper", "adaptive", "central-oracle")
        ]
        rows.append((name, "ours", number(interval([done.summary.mean for done in base])), *changed))
    return Table(heading, tuple(rows))


def _tail_table(runs: Mapping[str, Groups]) -> Table:
    heading = (
        "setting",
        "system",
        "mean s",
        "p50",
        "p95",
        "p99",
        "TTFT s",
        "offloaded",
        "preemptions",
        "messages/request",
    )
    rows = []
    for name, groups in runs.items():
        for system, results in groups.items():
            figures = [
                f"{interval([getattr(done.summary, figure) for done in results]).mean:.1f}"
                for figure in ("mean", "p50", "p95", "p99", "ttft_mean")
            ]
            offloaded = interval([done.summary.offloaded for done in results]).mean
            rest = [
                f"{interval([getattr(done.summary, figure) for done in results]).mean:.1f}"
                for figure in ("preemptions", "messages_per_request")
            ]
            rows.append((name, system, *figures, f"{offloaded:.0%}", *rest))
    return Table(heading, tuple(rows))


def _slo_table(runs: Mapping[str, Groups]) -> Table:
    shown = ("best threshold s", "attainment over single", "difference, points", "area 150-400 s")
    heading = ("setting", "system", *shown)
    rows = []
    for name, groups in runs.items():
        for system in ("central", "paper", "adaptive", "central-oracle"):
            best = best_gain(groups[system], groups["single"])
            under = number(interval([area(done) for done in groups[system]]), 3)
            told = (f"{best.threshold:.0f}", f"{number(best.ratio, 2)}x", percent(best.difference))
            rows.append((name, system, *told, under))
    return Table(heading, tuple(rows))


def _limit_table(runs: Mapping[str, Groups]) -> Table:
    heading = ("setting", "`adaptive` against", "mean", "p99", "area under SLO curve")
    rows = []
    for name, groups in runs.items():
        ours = groups["adaptive"]
        for other in ("paper", "central", "power-of-two", "central-oracle", "central-social"):
            areas = paired([area(done) for done in ours], [area(done) for done in groups[other]])
            rows.append(
                (
                    name,
                    other,
                    percent(relative(ours, groups[other])),
                    percent(relative(ours, groups[other], "p99")),
                    percent(areas),
                )
            )
    return Table(heading, tuple(rows))


def _numbers(groups: Groups) -> dict[str, object]:
    body = as_json({name: list(results) for name, results in groups.items()})
    body["thresholds"] = list(SWEEP)
    body["curves"] = {name: curve(results) for name, results in groups.items()}
    return body


def _draw(options: Options, runs: Mapping[str, Groups]) -> None:
    canvas, axes = panels(len(runs), 2)
    for axis, (name, groups) in zip(axes, runs.items(), strict=True):
        lines = {system: (SWEEP, curve(results)) for system, results in groups.items() if system != "central-social"}
        draw_lines(axis, lines, Labels(name, "latency threshold, s", "SLO attainment"))
        axis.set_ylim(0, 1.03)
    axes[0].legend(fontsize=7)
    save(canvas, options.out / "figures" / "slo_curves.png")
    canvas, axes = panels(len(runs), 2)
    for axis, (name, groups) in zip(axes, runs.items(), strict=True):
        means = {system: interval([done.summary.mean for done in results]) for system, results in groups.items()}
        bars = {system: (mean.mean, mean.half) for system, mean in means.items()}
        draw_bars(axis, bars, Labels(name, "", "mean latency, s"))
    save(canvas, options.out / "figures" / "latency_bars.png")
