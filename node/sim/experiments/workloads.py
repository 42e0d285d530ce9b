"""Bursts and days: the other arrival processes, chat lengths, every system."""

from functools import partial

from node.sim.compare import as_json
from node.sim.curves import relative
from node.sim.experiments.base import Options, Section, Table, number, percent, plain_variants, run_variants
from node.sim.profiles import build_profile
from node.sim.scenario import NodeSpec, Scenario
from node.sim.stats import interval
from node.sim.workload import SHAREGPT, Arrival, bursty_phases, diurnal_phases, poisson_arrivals, stream

NODES = 4
RATE = 2.5
SECONDS = 240.0
SYSTEMS = ("single", "central", "central-oracle", "random", "power-of-two", "paper", "adaptive")
MOST_SEEDS = 5
TEXT = """\
Four RTX 4090 with Llama-3.1-8B, chat-like lengths, 2.5 requests per second and node in the mean. *Bursts*: each node
switches between quiet and six times as much, half a minute each in the mean. *Days*: a day squeezed into four minutes,
each node in another time zone. Both leave something to balance at every moment. (`paper` decides one request a node
every half second, which at these rates is the bottleneck.)
"""


def bursts(seconds: float, seed: int) -> list[Arrival]:
    """Every node its own bursts."""
    phases = [bursty_phases(RATE, seconds, stream(seed, f"bursts/{node}")) for node in range(NODES)]
    return poisson_arrivals(phases, SHAREGPT, seed)


def days(seconds: float, seed: int) -> list[Arrival]:
    """Every node in another time zone."""
    return poisson_arrivals([diurnal_phases(RATE, seconds, node / NODES) for node in range(NODES)], SHAREGPT, seed)


def workloads(options: Options) -> Section:
    """Run and report."""
    seconds = SECONDS / options.scaled(1, 6)
    nodes = tuple(NodeSpec(build_profile("RTX 4090", "Llama-3.1-8B")) for _ in range(NODES))
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, object] = {}
    for name, arrivals in (("bursts", partial(bursts, seconds)), ("days", partial(days, seconds))):
        scenario = Scenario(name, nodes, arrivals, thresholds=(5.0, 10.0, 20.0))
        groups = run_variants(options, scenario, plain_variants(SYSTEMS), min(options.seeds, MOST_SEEDS))
        numbers[name] = as_json(groups)
        for system, results in groups.items():
            mean = number(interval([done.summary.mean for done in results]), 2)
            over = percent(relative(results, groups["single"]))
            cells = [f"{interval([getattr(done.summary, key) for done in results]).mean:.2f}" for key in KEYS]
            rows.append((name, system, mean, over, *cells))
    heading = ("arrivals", "system", "mean s", "over single", "p95", "p99", "TTFT s", "goodput /s", "utilisation")
    return Section(
        slug="workloads",
        title="Bursts and days",
        answers="other arrival processes than the paper's",
        text=TEXT,
        tables=(Table(heading, tuple(rows)),),
        seeds=min(options.seeds, MOST_SEEDS),
        numbers=numbers,
    )


KEYS = ("p95", "p99", "ttft_mean", "goodput", "utilisation")
