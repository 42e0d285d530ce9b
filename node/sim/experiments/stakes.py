"""Stake, income and strangers: does money make money, does splitting a stake pay, how cold is a start."""

from dataclasses import replace
from functools import partial
from typing import Any

from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import Seats, StakeTable
from node.core.routing.types import RouteRequest
from node.core.types import Address, Amount, Bytes32
from node.sim.experiments.base import Options, Section, Table, number, run_many
from node.sim.profiles import build_profile
from node.sim.record import gini
from node.sim.run import OWN_USERS_LAST, Run, run
from node.sim.scenario import NodeSpec, Scenario
from node.sim.stats import Interval, interval
from node.sim.workload import SHAREGPT, Phase, poisson_arrivals, stream

NODES = 16
SECONDS = 60.0
JOIN_AT = 20.0
IDENTITIES = 20
SEATS = ProviderConfig().candidates
STRANGER = Address(b"\x03" * 20)
"""A dispatcher without stake."""
TEXT = """\
Sixteen equal RTX 4090, of which only the first four have users, so that most work is offloaded; stakes 1, 2, 4, ...
in turn, three seats a request. Stake decides who is asked; the best bid decides who serves, so a rich provider is
asked more often but earns more only as far as it is as fast and as empty as the others it is asked with. `work
share / stake share` of 1 would be work in proportion to stake.

*Splitting a stake* (D1): seats fall with replacement, so a stake is asked as often in twenty names as in one. What is
left is that three names may bid beside each other: the last column is the work a provider would get if everybody's bids
were always equal and the asked drew lots.
"""


def _scenario(stakes: tuple[int, ...], *, join_last_at: float = 0.0) -> Scenario:
    engine = build_profile("RTX 4090", "Llama-3.1-8B")
    nodes = tuple(
        NodeSpec(engine, stake=stake, joins_at=join_last_at if index == len(stakes) - 1 else 0.0)
        for index, stake in enumerate(stakes)
    )
    schedule = [[Phase(SECONDS, 12.0)] if index < 4 else [] for index in range(len(stakes))]
    return Scenario("stakes", nodes, partial(poisson_arrivals, schedule, SHAREGPT), thresholds=(10.0,))


def stakes(options: Options) -> Section:
    """Run and report."""
    seeds = range(1, options.scaled(5, 2) + 1)
    unequal = tuple(100 * 2 ** (index % 4) for index in range(NODES))
    runs = run_many(options, play_stakes, [(unequal, seed) for seed in seeds])
    spread = {stake: [one["shares"][str(stake)] for one in runs] for stake in (100, 800)}
    flat = [one["gini"] for one in run_many(options, play_stakes, [((100,) * NODES, seed) for seed in seeds])]
    rich = [one["gini"] for one in runs]
    cold = run_many(options, cold_start, list(seeds))
    rows = (
        ("Gini of income, equal stakes", number(interval(flat), 3)),
        ("Gini of income, stakes 1:2:4:8", number(interval(rich), 3)),
        ("Gini of those stakes", f"{gini(unequal[4:]):.3f}"),
        ("work share / stake share, the smallest", number(interval(spread[100]), 2)),
        ("work share / stake share, the largest", number(interval(spread[800]), 2)),
        ("seconds until a newcomer with the least stake serves its first request", number(interval(cold), 1)),
    )
    return Section(
        slug="stakes",
        title="Stake and income",
        answers="rich-get-richer and cold start (asked for by the reviewers); Sybil splitting (D1)",
        text=TEXT,
        seeds=len(seeds),
        tables=(Table(("measure", "value"), rows), _sybil_table(options)),
        numbers={"gini_equal": flat, "gini_unequal": rich, "cold_start_seconds": cold},
    )


def play_stakes(case: tuple[tuple[int, ...], int]) -> dict[str, Any]:
    """Work share over stake share by stake, and the Gini of income."""
    held, seed = case
    done = run(_scenario(held), "adaptive", seed, replace(OWN_USERS_LAST, policy="adaptive"))
    return {"shares": {str(stake): _share(done, stake) for stake in sorted(set(held))}, "gini": _gini(done)}


def _share(done: Run, stake: int) -> float:
    nodes = done.world.nodes[4:]
    work = sum(node.earned for node in nodes if node.spec.stake == stake) / sum(node.earned for node in nodes)
    return work / (
        sum(node.spec.stake for node in nodes if node.spec.stake == stake) / sum(n.spec.stake for n in nodes)
    )


def _gini(done: Run) -> float:
    return gini([node.earned for node in done.world.nodes[4:]])


def cold_start(seed: int) -> float:
    """Seconds from a newcomer's joining to the end of the first request it serves."""
    stakes_of_all = (*((400,) * (NODES - 1)), 100)
    done = run(_scenario(stakes_of_all, join_last_at=JOIN_AT), "adaptive", seed)
    recorder = done.recorder
    served = [
        at + latency
        for at, latency, node in zip(recorder.arrivals, recorder.latency, recorder.node, strict=True)
        if node == NODES - 1
    ]
    return min(served, default=SECONDS) - JOIN_AT


def _sybil_table(options: Options) -> Table:
    """Chance of being asked first and at all, bids, and work if all bids were equal: one identity against twenty."""
    draws = options.scaled(20_000, 2_000)
    rows = tuple(
        (name, *(number(figure, 4) for figure in _sybil(draws, identities)))
        for name, identities in (("one identity", 1), (f"{IDENTITIES} identities, same stake in all", IDENTITIES))
    )
    return Table(("provider with 10 % of all stake", "asked first", "asked", "its bids", "work, equal bids"), rows)


def _sybil(draws: int, identities: int) -> tuple[Interval, ...]:
    """Three seats a request, as the node walks them."""
    mine = {Address(b"\x01" * 19 + bytes([index])) for index in range(identities)}
    rows = [(address, Amount(2_000 // identities)) for address in mine]
    rows.extend((Address(b"\x02" * 19 + bytes([index])), Amount(1_000)) for index in range(18))
    table, dice = StakeTable(rows), stream(1, f"sybil/{identities}")
    walk = Walk(STRANGER, RouteRequest(Bytes32(bytes(32)), ("any",), 1, 1), ProviderConfig(), _nothing_against)
    found: list[tuple[float, ...]] = []
    for _ in range(draws):
        seed = Bytes32(dice.randbytes(32))
        asked = choose_candidates(table.order(seed), walk, SEATS, Seats(table, seed)).chosen
        held = sum(address in mine for address in asked)
        found.append((asked[0] in mine, held > 0, held, held / len(asked)))
    return tuple(interval([float(figure) for figure in column]) for column in zip(*found, strict=True))


def _nothing_against(_: Address) -> None:
    """Everybody is live, sells the model and answers."""
