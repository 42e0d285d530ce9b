"""Who earns: hardware and serving software (served requests), stake and acceptance (running requests), over time.

Mirrors the paper's figures on credits and on policies; its workloads are not published, so the settings are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from node.core.routing.config import PAPER, ProviderConfig
from node.sim.experiments.base import Figure, Options, Section, Table, number, run_many
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.profiles import EngineProfile, build_profile, scale_profile
from node.sim.record import gini
from node.sim.run import OWN_USERS_LAST, run
from node.sim.scenario import NodeSpec, Scenario
from node.sim.stats import interval
from node.sim.workload import Lengths, Phase, poisson_arrivals

EACH = 2
"""Nodes of each kind."""
HARDWARE = {"A100": "A100", "RTX 4090": "RTX 4090", "RTX 3090": "RTX 3090"}
BACKENDS = {"FlashInfer": 1.0, "Triton": 1.02, "SDPA": 1.9}
"""How much slower each decodes: chosen, since the paper gives only the requests served."""
PUBLISHED = {
    "hardware": {"A100": 1717, "RTX 4090": 1195, "RTX 3090": 1088},
    "backends": {"FlashInfer": 788, "Triton": 786, "SDPA": 426},
}
REQUESTS = {"hardware": 4_000, "backends": 2_000}
RATES = {"hardware": 5.0, "backends": 2.0}
ANSWERS = Lengths(80, 110, 1_500, 0.6, cap=4_096)
STAKES = (1, 2, 4)
ACCEPTING = (0.2, 0.5, 0.8)
SYSTEMS = ("paper", "adaptive")
POINTS = 120
FIRST_CREDITS = 100_000
"""Front nodes only pay; credit must not stop them."""
TEXT = """\
Two front nodes have users and no engine; two providers of each kind serve. *Hardware*: Qwen3-8B on three
GPUs; *backends*: the same GPU, decoding at three speeds (SDPA 1.9 times slower, our choice: the paper publishes the
requests served, not speeds or load). A credit is one request served for somebody else, as in the paper. Under both
rules faster providers earn more. `paper` sends work by stake, and a stake there follows the share of memory in use,
so memory size counts as much as speed; `adaptive` sends it where it ends soonest.

*Policies*: three equal providers that differ in one setting. Under `paper` the stake is fixed for this experiment
(its automatic adjustment would undo it). Under `adaptive` stake decides who is asked, not who serves: a larger stake
earns more as far as it gets a seat more often and the others are not free sooner (`Stake and income`). Accepting less
often costs work under both.
"""


@dataclass(frozen=True, slots=True)
class Market:
    """A run to make: which providers by kind, the system, the seed."""

    name: str
    kinds: tuple[tuple[str, NodeSpec], ...]
    system: str
    seed: int
    rate: float
    seconds: float


def incentives(options: Options) -> Section:
    """Run and report."""
    seeds = range(1, options.scaled(5, 2) + 1)
    shrink = options.scaled(1, 4)
    todo = [
        _served(name, system, seed, shrink) for name in ("hardware", "backends") for system in SYSTEMS for seed in seeds
    ]
    policies = [
        _policy(name, system, seed) for name in ("stake", "acceptance") for system in SYSTEMS for seed in seeds[:3]
    ]
    found = run_many(options, play_market, todo)
    running = run_many(options, play_market, policies)
    _draw_credits(options, todo, found)
    _draw_running(options, policies, running)
    return Section(
        slug="incentives",
        title="Who earns: hardware, serving software, stake, acceptance",
        answers="requests served by GPU (1717 / 1195 / 1088) and by attention backend (788 / 786 / 426), and credits "
        "over time (figures 11, 12); running requests by stake and acceptance frequency (figure 8, left and middle)",
        text=TEXT,
        seeds=len(seeds),
        tables=(_served_table(todo, found), _policy_table(policies, running)),
        figures=(
            Figure("credits_by_kind.png", "Requests served over time by kind of provider, one seed (figures 11, 12)."),
            Figure("policies.png", "Running requests by stake and by acceptance frequency, one seed (figure 8)."),
        ),
        numbers={
            "markets": [
                {"name": play.name, "system": play.system, "seed": play.seed, **answer}
                for play, answer in zip([*todo, *policies], [*found, *running], strict=True)
            ]
        },
    )


def _served(name: str, system: str, seed: int, shrink: int) -> Market:
    kinds = HARDWARE if name == "hardware" else BACKENDS
    specs = tuple((kind, NodeSpec(_engine(name, kind))) for kind in kinds for _ in range(EACH))
    return Market(name, specs, system, seed, RATES[name], REQUESTS[name] / RATES[name] / shrink)


def _engine(name: str, kind: str) -> EngineProfile:
    if name == "hardware":
        return build_profile(HARDWARE[kind], "Qwen3-8B")
    return scale_profile(build_profile("RTX 4090", "Qwen3-8B"), BACKENDS[kind])


def _policy(name: str, system: str, seed: int) -> Market:
    engine = build_profile("RTX 4090", "Llama-3.1-8B")
    base = PAPER if system == "paper" else replace(OWN_USERS_LAST, policy="adaptive")
    if name == "stake":
        kinds = [(f"stake {stake}", NodeSpec(engine, stake=100 * stake, fixed_stake=True)) for stake in STAKES]
    else:
        kinds = [
            (f"accepts {share:.0%}", NodeSpec(engine, config=replace(base, accept_frequency=share), fixed_stake=True))
            for share in ACCEPTING
        ]
    return Market(name, tuple(kinds), system, seed, 1.2, 300.0)


def play_market(market: Market) -> dict[str, Any]:
    """Served requests by kind at POINTS moments, running requests by kind at the same, mean latency, Gini of income."""
    done = run(market_scenario(market), market.system, market.seed)
    record = done.recorder
    names = [kind for kind, _ in market.kinds]
    end = max(record.ended_at, 1e-9)
    moments = [end * (point + 1) / POINTS for point in range(POINTS)]
    lives: dict[str, list[tuple[float, float]]] = {kind: [] for kind in names}
    for node, at, took in zip(record.node, record.arrivals, record.latency, strict=True):
        if node >= FRONTS:
            lives[names[node - FRONTS]].append((at, at + took))
    return {
        "served": {kind: len(rows) for kind, rows in lives.items()},
        "moments": moments,
        "earned": {kind: [sum(e <= m for _, e in rows) for m in moments] for kind, rows in lives.items()},
        "running": {kind: [sum(a <= m < e for a, e in rows) for m in moments] for kind, rows in lives.items()},
        "mean": done.summary.mean,
        "gini": gini([node.served for node in done.world.nodes[FRONTS:]]),
    }


FRONTS = 2


def market_scenario(market: Market) -> Scenario:
    """Two fronts without an engine, then the providers."""
    unused = build_profile("RTX 3090", "Qwen3-8B")
    only_pay: ProviderConfig = (
        replace(PAPER, target_usage=0.0, queue_frequency=0.0, offload_frequency=1.0, accept_frequency=0.0)
        if market.system == "paper"
        else replace(OWN_USERS_LAST, policy=market.system, accept_frequency=0.0)
    )
    front = NodeSpec(unused, config=only_pay, stake=1, credits=FIRST_CREDITS, no_engine=True)
    schedule = [[Phase(market.seconds, market.rate / FRONTS)] for _ in range(FRONTS)]
    schedule.extend([] for _ in market.kinds)
    nodes = (*([front] * FRONTS), *(spec for _, spec in market.kinds))
    return Scenario(market.name, nodes, partial(poisson_arrivals, schedule, ANSWERS), thresholds=(60.0,))


def _served_table(todo: Sequence[Market], found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for name, published in PUBLISHED.items():
        for kind, told in published.items():
            cells = [name, kind, f"{told / sum(published.values()):.0%} ({told:,})"]
            for system in SYSTEMS:
                shares = [
                    answer["served"][kind] / sum(answer["served"].values())
                    for play, answer in zip(todo, found, strict=True)
                    if play.name == name and play.system == system
                ]
                cells.append(number(interval([100 * share for share in shares]), 1) + " %")
            rows.append(tuple(cells))
    return Table(("by", "kind", "published", *(f"`{system}`" for system in SYSTEMS)), tuple(rows))


def _policy_table(todo: Sequence[Market], found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for name in ("stake", "acceptance"):
        first = next(play for play in todo if play.name == name)
        for kind, _ in first.kinds:
            cells = [name, kind]
            for system in SYSTEMS:
                mine = [
                    answer["served"][kind] / sum(answer["served"].values())
                    for play, answer in zip(todo, found, strict=True)
                    if play.name == name and play.system == system
                ]
                cells.append(number(interval([100 * share for share in mine]), 1) + " %")
            rows.append(tuple(cells))
    return Table(("setting", "provider", *(f"work under `{system}`" for system in SYSTEMS)), tuple(rows))


def _draw_credits(options: Options, todo: Sequence[Market], found: Sequence[Mapping[str, Any]]) -> None:
    _draw(options, (todo, found, "earned"), (("hardware", "backends"), "requests served"), "credits_by_kind.png")


def _draw_running(options: Options, todo: Sequence[Market], found: Sequence[Mapping[str, Any]]) -> None:
    _draw(options, (todo, found, "running"), (("stake", "acceptance"), "running requests"), "policies.png")


def _draw(
    options: Options,
    runs: tuple[Sequence[Market], Sequence[Mapping[str, Any]], str],
    shown: tuple[tuple[str, ...], str],
    file: str,
) -> None:
    (todo, found, series), (names, unit) = runs, shown
    chosen = [
        (play, answer)
        for name in names
        for system in SYSTEMS
        for play, answer in zip(todo, found, strict=True)
        if (play.name, play.system, play.seed) == (name, system, 1)
    ]
    canvas, axes = panels(len(chosen), 2)
    for axis, (play, answer) in zip(axes, chosen, strict=True):
        lines = {kind: (answer["moments"], line) for kind, line in answer[series].items()}
        draw_lines(axis, lines, Labels(f"{play.name}, {play.system}", "time, s", unit))
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7)
    save(canvas, options.out / "figures" / file)
