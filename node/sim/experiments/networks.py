"""Wide-area delays, lost messages, partitions: what they cost `adaptive`, on the requests of S1."""

from node.core.routing.config import ProviderConfig
from node.sim.compare import as_json
from node.sim.curves import relative
from node.sim.experiments.admission import DEADLINE, MOST_SEEDS, overloaded
from node.sim.experiments.base import Options, Section, Table, Variant, number, percent, run_variants
from node.sim.network import NetworkSpec, Partition
from node.sim.run import system_config
from node.sim.scenario import Scenario, paper_scenario
from node.sim.stats import interval

REGIONS = (
    (0.001, 0.045, 0.110, 0.085),
    (0.045, 0.001, 0.125, 0.080),
    (0.110, 0.125, 0.001, 0.090),
    (0.085, 0.080, 0.090, 0.001),
)
"""One-way seconds between North America, Europe, South America and East Asia: half of usual round trips, rounded."""
NETWORKS = {
    "LAN, 10 ms": NetworkSpec(),
    "WAN, 20-160 ms": NetworkSpec(base_seconds=0.02, spread_seconds=0.1),
    "WAN, 50-470 ms": NetworkSpec(base_seconds=0.05, spread_seconds=0.3),
    "WAN matrix, four continents": NetworkSpec(matrix=REGIONS),
    "1 % loss": NetworkSpec(loss=0.01),
    "10 % loss": NetworkSpec(loss=0.10),
    "30 % loss": NetworkSpec(loss=0.30),
    "partition 100-300 s": NetworkSpec(partitions=(Partition(100.0, 300.0, frozenset({0, 1})),)),
    "own island 0-450 s": NetworkSpec(partitions=(Partition(0.0, 450.0, frozenset({0})),)),
}
SKEWS = (0.0, 1.0, 10.0, 60.0)
TEXT = """\
The requests of S1 under worse networks; in the matrix every node lives on another continent. A lost or late enquiry
costs a second and the bid; the peer is then left alone for two seconds, doubling. A partition hides bids; streams
already running are not cut in this experiment.

*Clock skew.* Forecasts and promises are durations, so skew touches only deadlines, which are moments: each node's clock
is off by up to so many seconds either way, and a peer reads a request's deadline with its own. S2 with 1.6 times its
arrivals and a deadline of 250 s: clocks wrong by seconds cost nothing, and a whole minute changes little (5 seeds).
"""


def networks(options: Options) -> Section:
    """Run and report."""
    settings: ProviderConfig = system_config("adaptive")
    base = paper_scenario("S1")
    runs = {}
    for name, spec in NETWORKS.items():
        scenario = Scenario(f"S1, {name}", base.nodes, base.arrivals, spec)
        runs[name] = run_variants(options, scenario, [Variant("adaptive", "adaptive", settings)])["adaptive"]
    lan = next(iter(runs.values()))
    rows = []
    for name, results in runs.items():
        mean = number(interval([done.summary.mean for done in results]))
        tail = number(interval([done.summary.p99 for done in results]))
        rows.append((name, mean, percent(relative(results, lan)), tail, percent(relative(results, lan, "p99"))))
    return Section(
        slug="networks",
        title="Bad networks",
        answers="WAN latency, loss and partitions (asked for by the reviewers, never published)",
        text=TEXT,
        tables=(Table(("network", "mean s", "over LAN", "p99 s", "over LAN"), tuple(rows)), _skew_table(options)),
        seeds=options.seeds,
        numbers=as_json(runs),
    )


def _skew_table(options: Options) -> Table:
    nodes, rows, variant = paper_scenario("S2").nodes, [], [Variant("adaptive", "adaptive")]
    for skew in SKEWS:
        network = NetworkSpec(clock_skew_seconds=skew)
        scenario = Scenario(f"skew {skew:g}", nodes, overloaded, network, (DEADLINE,), DEADLINE)
        results = run_variants(options, scenario, variant, min(options.seeds, MOST_SEEDS))["adaptive"]
        met = interval([done.summary.slo[f"{DEADLINE:g}"] for done in results])
        answered = interval([done.summary.answered / done.summary.requests for done in results])
        rows.append(
            (f"± {skew:g} s", number(met, 3), number(answered, 3), number(interval([d.summary.mean for d in results])))
        )
    return Table(("clocks off by up to", "met the deadline", "answered", "mean s of the answered"), tuple(rows))
