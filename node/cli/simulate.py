"""`scripts/simulate.py`: compare routing systems on a trace or one of the paper's settings, before risking money.

Parses arguments and prints; the simulation is in `node/sim`.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, astuple, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from node.cli.calibrate import EngineUnusable, Plan, free_share, measure_engine, measure_started
from node.core.errors import BadConfig
from node.sim.backends import BACKENDS, BackendMissing, Workers
from node.sim.calibrate import compare_points
from node.sim.compare import Done, Job, as_json, by_system, figure_of, run_all
from node.sim.experiments.base import Options
from node.sim.experiments.coalitions import (
    APPEAL_RATE,
    APPEAL_RATES,
    ATTACKS,
    all_attacks,
    count_profitable,
    sensitivity,
)
from node.sim.network import NetworkSpec
from node.sim.profiles import parse_profile
from node.sim.record import mean_of
from node.sim.run import SYSTEMS
from node.sim.scenario import NodeSpec, Scenario, paper_scenario
from node.sim.workload import BadTrace, even_spread, load_trace, trace_arrivals, zipf_spread

STORE = Path(".cache/sim")
TRACE_SLO = (5.0, 10.0, 20.0, 40.0)
DEFAULT_ENGINE = "RTX 4090 / Llama-3.1-8B"
PAPER_SETTINGS = ("S1", "S2", "S3", "S4")
EXPERIMENT_NAMES = (
    "headline", "azure", "workloads", "churn", "networks", "ablations", "admission", "hedging", "incentives", "stakes",
    "liars", "quality", "duel-work", "coalitions", "engine", "scale",
)  # fmt: skip
QUICK_SEEDS = 3
BUSY_BELOW = 0.9
CALIBRATION = Path("docs/results/data/engine-cpu.json")
PROGRESS = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
KNOWN_SYSTEMS = (*SYSTEMS, "central-social")

BACKEND_HELP = "processes: this machine's cores; ray: the cluster RAY_ADDRESS names, else a local one."

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", help=__doc__)
notes = Console(stderr=True)


class Usage(typer.BadParameter):
    """A wrong argument: exit 2, one sentence, no traceback."""


@app.callback(invoke_without_command=True)
def simulate(  # one parameter an option
    context: typer.Context,
    trace: Annotated[Path | None, typer.Option(help="CSV of the Azure shape.", exists=True, dir_okay=False)] = None,
    setting: Annotated[str, typer.Option(help="One of the paper's settings: S1, S2, S3, S4.")] = "",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes, with --trace.")] = 4,
    systems: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(KNOWN_SYSTEMS)}.")] = ",".join(SYSTEMS),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds (1, 2, ...).")] = 5,
    slo: Annotated[str, typer.Option(help="Latency thresholds in seconds, comma-separated.")] = "",
    engine_profile: Annotated[str, typer.Option(help='"GPU / MODEL" of every node, with --trace.')] = DEFAULT_ENGINE,
    load: Annotated[
        float, typer.Option(min=0.001, help="Rescale arrivals: 2 = twice as fast, 0.5 = half, thinned.")
    ] = 1,
    spread: Annotated[
        str, typer.Option(help="rotating: unequal, moving shares of the trace; even: equal.")
    ] = "rotating",
    latency: Annotated[float, typer.Option(min=0, help="One-way network delay in seconds.")] = 0.01,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of bids' messages lost.")] = 0.0,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON ('-' for stdout).")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "processes",
    resume: Annotated[bool, typer.Option(help="Keep finished runs in .cache/sim and read them back.")] = True,
) -> None:
    """Compare systems on the same requests and seeds.

    Examples:
      python scripts/simulate.py --setting S1 --seeds 5

      python scripts/simulate.py --trace azure.csv --nodes 4 --systems single,central,adaptive --seeds 5 --json out.json
    """
    if context.invoked_subcommand is not None:
        return
    names = _systems(systems)
    network = NetworkSpec(base_seconds=latency, loss=loss)
    if trace is not None:
        scenario = _trace_scenario(trace, _engines(engine_profile, nodes), network, (spread, load))
    else:
        scenario = _paper_setting(setting, network)
    if slo:
        scenario = _with_thresholds(scenario, slo)
    todo = [Job(scenario, name, seed) for seed in range(1, seeds + 1) for name in names]
    runs = run_all(todo, _workers(jobs, backend), STORE if resume else None)
    _show(scenario, by_system(with_progress(runs, len(todo))), out)


def _show(scenario: Scenario, groups: dict[str, list[Done]], out: Path | None) -> None:
    body = json.dumps(as_json(groups), indent=1)
    if out is not None and str(out) == "-":
        typer.echo(body)
        return
    if out is not None:
        out.write_text(body + "\n")
    Console().print(_table(scenario, groups))


@app.command()
def reproduce(
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("docs/results"),
    seeds: Annotated[int, typer.Option(min=2, help="Test seeds 1..n (at most five where runs are long).")] = 10,
    trace: Annotated[Path | None, typer.Option(help="Azure-format CSV for the trace experiment.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "processes",
    quick: Annotated[bool, typer.Option(help="Same tables, fewer seeds, shorter runs.")] = False,
    only: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(EXPERIMENT_NAMES)}.")] = "",
) -> None:
    """Rerun the paper's experiments and ours, and write tables, figures and one HTML page.

    Example: python scripts/simulate.py reproduce --trace azure.csv --jobs 2
    """
    from node.sim import reproduce as room  # noqa: PLC0415  # matplotlib is an extra: only some commands need it

    chosen = [name.strip() for name in only.split(",") if name.strip()]
    for name in chosen:
        if name not in EXPERIMENT_NAMES:
            raise Usage(f"--only: unknown experiment {name!r}; known: {', '.join(EXPERIMENT_NAMES)}")
    with Progress(*PROGRESS, console=notes, transient=True) as progress:
        task = progress.add_task("reproducing", total=None)
        options = Options(
            seeds=min(seeds, QUICK_SEEDS) if quick else seeds,
            workers=_workers(jobs, backend),
            store=STORE,
            out=out,
            trace=trace,
            quick=quick,
            watch=lambda text: progress.update(task, advance=1, description=text),
            commit=commit_name(),
        )
        page = room.reproduce(options, chosen)
    typer.echo(f"reproduce: {len(chosen) or len(EXPERIMENT_NAMES)} experiments, seeds 1-{options.seeds}, report {page}")


@app.command()
def bench(
    nodes: Annotated[str, typer.Option(help="Sizes, comma-separated.")] = "10,100,1000,10000",
    requests: Annotated[int, typer.Option(min=0, help="Requests of the largest size; 0: 90 per node.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Report to write data/scale-bench.json into (or scale-million.json).")
    ] = None,
) -> None:
    """The scale curve of `adaptive`: CPU time, memory, messages and latency over the number of nodes.

    Example: python scripts/simulate.py bench --nodes 1000 --requests 1000000
    """
    from node.sim.experiments.scale import BENCHES, MILLION, RATE, measure  # noqa: PLC0415  # needs matplotlib too

    points = []
    for size in (int(part) for part in nodes.split(",")):
        found = measure(size, (requests or 90 * size) / size / RATE)
        points.append(replace(found, measured=f"make sim-bench, commit {commit_name()}"))
        done = points[-1]
        typer.echo(
            f"{done.nodes:>6} nodes {done.requests:>8} requests: {done.seconds:.1f} CPU s, "
            f"{done.micros_per_request:.0f} us/request, peak {done.memory_mb:.0f} MB, "
            f"mean latency {done.mean_latency:.2f} s, {done.messages_per_request:.1f} messages/request"
        )
    if out is not None:
        (out / "data").mkdir(parents=True, exist_ok=True)
        name = BENCHES[len(points) == 1 and points[0].requests >= MILLION]
        (out / "data" / name).write_text(json.dumps({"points": [asdict(point) for point in points]}, indent=1) + "\n")
    ratio = points[-1].micros_per_request / points[0].micros_per_request
    typer.echo(f"sim-bench: sizes {len(points)}, largest {points[-1].nodes}, cost ratio {ratio:.2f}")


@app.command()
def coalitions() -> None:
    """What attacks on duels earn at every shipped setting. Exit 1 if one of them pays.

    Example: python scripts/simulate.py coalitions
    """
    table = Table(title=f"net gain per duel against honest play, {APPEAL_RATE:.0%} of wrong verdicts appealed")
    for column in ("setting", "share", *ATTACKS):
        table.add_column(column)
    rows = all_attacks()
    for name, share, earned in rows:
        table.add_row(name, f"{share:.0%}", *(f"{gain:+.2f}" for gain in astuple(earned)))
    appeals = Table(title="`executor` at the default setting, by the share of wrong verdicts appealed")
    for column in ("share", *(f"{rate:.0%}" for rate in APPEAL_RATES)):
        appeals.add_column(column)
    for name, line in sensitivity().items():
        appeals.add_row(name, *(f"{gain:+.2f}" for gain in line))
    wide = Console(width=max(Console().width, 140))
    wide.print(table)
    wide.print(appeals)
    profitable = count_profitable(rows)
    typer.echo(f"coalitions: settings {len(rows)}, profitable {profitable}")
    raise typer.Exit(1 if profitable else 0)


@app.command()
def calibrate(
    base_url: Annotated[str, typer.Option(help="Where the engine listens, without /v1.")] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option(help="Model name as the engine knows it.")] = "smollm2-135m",
    batches: Annotated[str, typer.Option(help="Batch sizes, comma-separated.")] = "1,2,4,8,12,16",
    tokens: Annotated[int, typer.Option(min=12, help="Tokens of each answer.")] = 40,
    start: Annotated[str, typer.Option(help="Start this project's CPU engine with this model instead.")] = "",
    out: Annotated[Path, typer.Option("--json", help="Where the points go.")] = CALIBRATION,
) -> None:
    """Measure an engine, fit the step law to every other point and predict the rest and a stretch of real requests.

    Examples:
      python scripts/simulate.py calibrate --base-url http://127.0.0.1:8000 --model smollm2-135m

      python scripts/simulate.py calibrate --start base
    """
    plan = Plan(base_url, model, tuple(int(part) for part in batches.split(",")), tokens=tokens)
    share = free_share()
    if share < BUSY_BELOW:
        notes.print(f"this machine is busy: {share:.0%} of a core is free; the figures will be the machine's")
    try:
        found = asyncio.run(measure_started(plan, start) if start else measure_engine(plan))
    except BadConfig as exc:
        notes.print(str(exc))
        raise typer.Exit(1) from exc
    except EngineUnusable as exc:
        notes.print(f"cannot measure the engine: {exc}")
        raise typer.Exit(1) from exc
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found.as_json(), indent=1) + "\n")
    errors = [abs(predicted / point.step_ms - 1.0) for point, predicted in compare_points(found)]
    for point, predicted in compare_points(found):
        typer.echo(
            f"B {point.sequences:>3}  KV tokens {point.kv_tokens:>7.0f}  "
            f"measured {point.step_ms:7.1f} ms  predicted {predicted:7.1f} ms"
        )
    typer.echo(
        f"calibrate: points {len(found.points)}, prefill {found.prefill_rate:.0f} tokens/s, "
        f"mean error of unseen points {mean_of(errors):.1%}"
    )


def commit_name() -> str:
    """What git calls this code; `+` when something in the tree differs from it."""
    try:
        told = subprocess.run(
            ("git", "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+"),  # noqa: S607  # the user's git
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git here)"
    return told.stdout.strip()


def with_progress(results: Iterator[Done], total: int) -> list[Done]:
    """Collect with a bar on stderr."""
    collected = []
    with Progress(*PROGRESS, console=notes, transient=True) as progress:
        task = progress.add_task("simulating", total=total)
        for done in results:
            collected.append(done)
            progress.update(task, advance=1, description=f"{done.scenario} {done.system}")
    return collected


def _workers(count: int, backend: str) -> Workers:
    if backend not in BACKENDS:
        raise Usage(f"--backend: {backend!r} is none of {', '.join(BACKENDS)}")
    try:
        return Workers(count, backend).check()
    except BackendMissing as exc:
        raise Usage(f"--backend: {exc}") from exc


def _systems(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KNOWN_SYSTEMS:
            raise Usage(f"unknown system {name!r}; known: {', '.join(KNOWN_SYSTEMS)}")
    return list(dict.fromkeys(names)) or list(SYSTEMS)


def _engines(profile: str, nodes: int) -> tuple[NodeSpec, ...]:
    try:
        engine = parse_profile(profile)
    except ValueError as exc:
        raise Usage(str(exc)) from exc
    return tuple(NodeSpec(engine) for _ in range(nodes))


def _trace_scenario(path: Path, nodes: tuple[NodeSpec, ...], network: NetworkSpec, laid: tuple[str, float]) -> Scenario:
    spread, load = laid
    if spread not in ("rotating", "even"):
        raise Usage(f"--spread: {spread!r} is neither rotating nor even")
    try:
        rows = load_trace(path)
    except BadTrace as exc:
        raise Usage(f"--trace: {exc}") from exc
    shares = zipf_spread(len(nodes)) if spread == "rotating" else even_spread(len(nodes))
    return Scenario(path.stem, nodes, partial(trace_arrivals, rows, shares, load), network, TRACE_SLO)


def _paper_setting(setting: str, network: NetworkSpec) -> Scenario:
    if setting.upper() not in PAPER_SETTINGS:
        raise Usage("give --trace FILE.csv, or --setting S1, S2, S3 or S4")
    scenario = paper_scenario(setting.upper())
    return Scenario(scenario.name, scenario.nodes, scenario.arrivals, network)


def _with_thresholds(scenario: Scenario, text: str) -> Scenario:
    try:
        thresholds = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as exc:
        raise Usage(f"--slo: {text!r} is not a list of seconds") from exc
    if not thresholds or min(thresholds) <= 0:
        raise Usage("--slo: give positive seconds")
    return Scenario(scenario.name, scenario.nodes, scenario.arrivals, scenario.network, thresholds)


def _table(scenario: Scenario, groups: dict[str, list[Done]]) -> Table:
    first = next(iter(groups.values()))
    table = Table(
        title=f"{scenario.name}: {len(scenario.nodes)} nodes, {len(first)} seeds, latency in seconds (± 95 %)"
    )
    for column in ("system", "mean", "p50", "p95", "p99", "TTFT", "msgs/req"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for threshold in scenario.thresholds:
        table.add_column(f"≤{threshold:g}s", justify="right")
    for name, results in groups.items():
        table.add_row(name, *_cells(results))
    return table


def _cells(results: list[Done]) -> list[str]:
    mean = figure_of(results, lambda summary: summary.mean)
    plain = ("p50", "p95", "p99", "ttft_mean", "messages_per_request")
    means = [mean_of([getattr(done.summary, name) for done in results]) for name in plain]
    shares = [mean_of([done.summary.slo[threshold] for done in results]) for threshold in results[0].summary.slo]
    return [f"{mean.mean:.2f} ±{mean.half:.2f}", *(f"{m:.2f}" for m in means), *(f"{share:.1%}" for share in shares)]


def main() -> None:
    """Entry point of scripts/simulate.py."""
    app()
