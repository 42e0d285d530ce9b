"""`scripts/simulate.py`: compare routing systems on a trace or one of the paper's settings, before risking money.

Parses arguments and prints; the simulation is in `node/sim`.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from node.sim.compare import Done, Job, as_json, by_system, figure_of, run_all
from node.sim.network import NetworkSpec
from node.sim.profiles import parse_profile
from node.sim.run import CENTRAL, SYSTEMS
from node.sim.scenario import NodeSpec, Scenario, paper_scenario
from node.sim.workload import BadTrace, even_spread, load_trace, trace_arrivals, zipf_spread

STORE = Path(".cache/sim")
TRACE_SLO = (5.0, 10.0, 20.0, 40.0)
DEFAULT_ENGINE = "RTX 4090 / Llama-3.1-8B"
PAPER_SETTINGS = ("S1", "S2", "S3", "S4")
KNOWN_SYSTEMS = (*SYSTEMS, "central-social")

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich", help=__doc__)
notes = Console(stderr=True)


class Usage(typer.BadParameter):
    """A wrong argument: exit 2, one sentence, no traceback."""


@app.callback(invoke_without_command=True)
def simulate(  # noqa: PLR0913  # one parameter an option
    context: typer.Context,
    trace: Annotated[Path | None, typer.Option(help="CSV of the Azure shape.", exists=True, dir_okay=False)] = None,
    setting: Annotated[str, typer.Option(help="One of the paper's settings: S1, S2, S3, S4.")] = "",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes, with --trace.")] = 4,
    systems: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(KNOWN_SYSTEMS)}.")] = ",".join(SYSTEMS),
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds (1, 2, ...).")] = 5,
    slo: Annotated[str, typer.Option(help="Latency thresholds in seconds, comma-separated.")] = "",
    engine_profile: Annotated[str, typer.Option(help='"GPU / MODEL" of every node, with --trace.')] = DEFAULT_ENGINE,
    load: Annotated[float, typer.Option(min=0.001, help="Rescale arrivals: 2 = twice as fast, 0.5 = half, thinned.")] = 1,
    spread: Annotated[str, typer.Option(help="rotating: unequal, moving shares of the trace; even: equal.")] = "rotating",
    latency: Annotated[float, typer.Option(min=0, help="One-way network delay in seconds.")] = 0.01,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of bids' messages lost.")] = 0.0,
    out: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON ('-' for stdout).")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
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
    groups = by_system(with_progress(run_all(todo, jobs, STORE if resume else None), len(todo)))
    body = as_json(groups)
    if out is not None and str(out) == "-":
        typer.echo(json.dumps(body, indent=1))
        return
    if out is not None:
        out.write_text(json.dumps(body, indent=1))
    Console().print(_table(scenario, groups))


def with_progress(results: Iterator[Done], total: int) -> list[Done]:
    """Collect with a bar on stderr."""
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    collected = []
    with Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task("simulating", total=total)
        for done in results:
            collected.append(done)
            progress.update(task, advance=1, description=f"{done.scenario} {done.system}")
    return collected


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


def _trace_scenario(
    path: Path, nodes: tuple[NodeSpec, ...], network: NetworkSpec, laid: tuple[str, float]
) -> Scenario:
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
    table = Table(title=f"{scenario.name}: {len(scenario.nodes)} nodes, {len(first)} seeds, latency in seconds (± 95 %)")
    for column in ("system", "mean", "p50", "p95", "p99", "TTFT", "msgs/req"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for threshold in scenario.thresholds:
        table.add_column(f"≤{threshold:g}s", justify="right")
    for name, results in groups.items():
        table.add_row(name, *_cells(results))
    return table


def _cells(results: list[Done]) -> list[str]:
    mean = figure_of(results, lambda summary: summary.mean)
    cells = [f"{mean.mean:.2f} ±{mean.half:.2f}"]
    for name in ("p50", "p95", "p99", "ttft_mean", "messages_per_request"):
        cells.append(f"{figure_of(results, lambda summary, name=name: getattr(summary, name)).mean:.2f}")  # type: ignore[misc]
    for threshold in results[0].summary.slo:
        cells.append(f"{figure_of(results, lambda summary, key=threshold: summary.slo[key]).mean:.1%}")  # type: ignore[misc]
    return cells


def main() -> None:
    """Entry point of scripts/simulate.py."""
    app()


__all__ = ["CENTRAL", "app", "main", "simulate"]
