"""How the simulator and the market scale: cost per simulated request, messages and latency from 10 to 10,000 nodes."""

import json
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import process_time

from node.sim.experiments.base import Figure, Options, Section, Table
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.profiles import build_profile
from node.sim.run import run
from node.sim.scenario import NodeSpec, Scenario
from node.sim.workload import SHAREGPT, Arrival, diurnal_phases, poisson_arrivals

BENCHES = ("scale-bench.json", "scale-million.json")
"""Written by `make sim-bench`, which takes minutes: the curve at full length, and a million requests. Shown if there.
"""
MILLION = 900_000
"""From so many requests on at the only size, a bench is the second of these."""
RATE = 3.0
"""Requests per second and node: about two thirds of what an RTX 4090 with Llama-3.1-8B serves at a good pace."""
ZONES = 24
MOST_REQUESTS = 60_000
"""Bounds the largest sizes to a minute or so each; `make sim-bench` runs them at full length."""
FULL, QUICK = (10, 100, 1_000, 10_000), (10, 100, 1_000)
PAPER_SIZES = (10, 100)
"""Its nodes copy each other's state every three seconds, which a network of more would not survive either."""
TEXT = """\
Chat-like requests, three per second and node, every node living in one of 24 time zones of a day squeezed into the
run. Time is CPU time of one core on a shared machine and scatters by some 30 %; read the shape. A request costs
three enquiries at most whatever the number of nodes, a draw from prefix sums, and a handful of engine events. `paper`
copies every node's state to every other each three seconds: its messages grow with the network.

The work of a request does not grow: counted in instructions (`perf stat -e instructions:u`, runs of 9,000 requests
and more) it is 2.3, 2.0 and 2.0 million among 10, 100 and 1,000 nodes, and 1.5 million among 10,000 in a run of six
seconds. What grows is the time an instruction takes: a larger world does not fit into the processor's caches (1.85,
1.65, 1.28 and 1.02 instructions a cycle).
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One size."""

    nodes: int
    requests: int
    seconds: float
    micros_per_request: float
    memory_mb: float
    mean_latency: float
    p99_latency: float
    messages_per_request: float
    system: str = "adaptive"
    measured: str = "this run"


def day_arrivals(nodes: int, seconds: float, seed: int) -> list[Arrival]:
    """Users of all time zones."""
    schedule = [diurnal_phases(RATE, seconds, (index % ZONES) / ZONES) for index in range(nodes)]
    return poisson_arrivals(schedule, SHAREGPT, seed)


def scale_scenario(nodes: int, seconds: float) -> Scenario:
    """Equal nodes in 24 time zones."""
    engine = build_profile("RTX 4090", "Llama-3.1-8B")
    specs = tuple(NodeSpec(engine) for _ in range(nodes))
    return Scenario(f"{nodes} nodes", specs, partial(day_arrivals, nodes, seconds), thresholds=(5.0, 10.0))


def measure(
    nodes: int, seconds: float, system: str = "adaptive", clock: Callable[[], float] = process_time
) -> Measured:
    """Run one size and time it (arrivals included)."""
    start = clock()
    summary = run(scale_scenario(nodes, seconds), system, 1).summary
    took = clock() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return Measured(
        nodes,
        summary.requests,
        took,
        took / max(summary.requests, 1) * 1e6,
        peak,
        summary.mean,
        summary.p99,
        summary.messages_per_request,
        system,
    )


def scale(options: Options) -> Section:
    """The curve."""
    points = []
    for nodes in QUICK if options.quick else FULL:
        points.append(measure(nodes, min(options.scaled(30, 3), MOST_REQUESTS / nodes / RATE)))
        options.watch(f"{nodes} nodes")
    points.extend(measure(nodes, options.scaled(30, 3), "paper") for nodes in PAPER_SIZES)
    return scale_section(points, options.out)


def scale_section(points: Sequence[Measured], out: Path) -> Section:
    """Table and figure of measured sizes."""
    draw_scale(points, out / "figures" / "scale.png")
    kept = [out / "data" / name for name in BENCHES if (out / "data" / name).exists()]
    benched = [Measured(**point) for path in kept for point in json.loads(path.read_text())["points"]]
    costs = ("CPU s", "µs/request", "peak MB", "mean latency s", "p99 s", "messages/request", "measured")
    heading = ("system", "nodes", "requests", *costs)
    rows = tuple(
        (
            point.system,
            f"{point.nodes:,}",
            f"{point.requests:,}",
            f"{point.seconds:.1f}",
            f"{point.micros_per_request:.0f}",
            f"{point.memory_mb:.0f}",
            f"{point.mean_latency:.2f}",
            f"{point.p99_latency:.2f}",
            f"{point.messages_per_request:.1f}",
            point.measured,
        )
        for point in [*points, *benched]
    )
    return Section(
        slug="scale",
        title="Scale",
        answers="10^2-10^4 nodes (the paper has at most 8)",
        text=TEXT,
        seeds=1,
        tables=(Table(heading, rows),),
        figures=(Figure("scale.png", "Cost of simulating a request, and messages a request causes, over nodes."),),
        numbers={"points": [asdict(point) for point in points]},
    )


def draw_scale(points: Sequence[Measured], path: Path) -> None:
    """Two panels over nodes, logarithmic."""
    lines = {system: [point for point in points if point.system == system] for system in ("adaptive", "paper")}
    canvas, axes = panels(2, 2)
    for axis, name, labels in (
        (axes[0], "micros_per_request", Labels("Simulation cost", "nodes", "µs/request")),
        (axes[1], "messages_per_request", Labels("Messages", "nodes", "messages/request")),
    ):
        shown = {
            system: ([float(point.nodes) for point in mine], [getattr(point, name) for point in mine])
            for system, mine in lines.items()
            if mine
        }
        draw_lines(axis, shown, labels)
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7)
    save(canvas, path)
