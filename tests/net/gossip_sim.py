"""`make gossip-sim`: the membership protocol on simulated networks of 100 and 1,000 nodes; docs/figures/gossip.json.

The same pure code as the live node's, with a WAN's latency, three round trips a packet (TCP, TLS, HTTP on a new
connection), and requests that vanish. A killed node is silent: nobody is told that its host is gone.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean
from typing import Any

from node.core.membership.settings import SwimSettings
from node.core.membership.tally import Event
from tests.net.gossip_world import HTTP_BYTES, World, WorldSettings

DEAD_LIMIT, BACK_LIMIT = 5.0, 2.0
SETTLE_SECONDS = 4.0
Plan = tuple[int, float, int, float]
"""Nodes, loss, kills, calm seconds."""
Rows = dict[tuple[int, float], dict[str, Any]]
"""By nodes and loss."""
FIGURES = Path(__file__).parents[2] / "docs" / "figures" / "gossip.json"


def events(world: World) -> Counter[Event]:
    total: Counter[Event] = Counter()
    for node in world.nodes.values():
        total.update(node.swim.tally.events)
    return total


def bytes_sent(world: World) -> int:
    return sum(node.bytes_sent for node in world.nodes.values())


def wrong_pairs(world: World, observers: int = 50) -> float:
    """Share of (observer, running node) pairs in which the observer leaves it out, over some observers."""
    running = [payee for payee, node in world.nodes.items() if node.is_up]
    sample = random.Random(0).sample(running, min(observers, len(running)))
    out = sum(not world.nodes[one].swim.is_alive(other) for one in sample for other in running if other != one)
    return out / (len(sample) * max(len(running) - 1, 1))


def cold_start(world: World) -> float:
    """Every node starts within 10 ms knowing the registry only; until everybody knows everybody lives."""
    world.start_all()
    return world.run(30.0, lambda: wrong_pairs(world) == 0.0, 0.25)


def calm(world: World, seconds: float) -> dict[str, Any]:
    """Nothing happens but loss; the news of the start is told first."""
    world.run(SETTLE_SECONDS)
    size, before, sent = world.settings.size, events(world), bytes_sent(world)
    wrong: list[float] = []
    for _ in range(int(seconds)):
        world.run(1.0)
        wrong.append(wrong_pairs(world))
    after = events(world)
    suspected = after[Event.SUSPECTED] - before[Event.SUSPECTED]
    died = after[Event.DIED] - before[Event.DIED]
    probes = sum(after[kind] - before[kind] for kind in (Event.PROBE_ANSWERED, Event.PROBE_FAILED))
    return {
        "seconds": seconds,
        "bytes_per_node_per_second": round((bytes_sent(world) - sent) / seconds / size),
        "probes_per_node_per_second": round(probes / seconds / size, 2),
        "false_suspicions": suspected,
        "false_suspicions_per_node_hour": round(suspected / size / seconds * 3600, 3),
        "false_deaths_seen": died,
        "live_nodes_left_out_share": round(mean(wrong), 7),
    }


def churn(world: World, rounds: int) -> dict[str, Any]:
    """Kill one silently, wait until nobody would route to it; start it anew, wait until everybody would."""
    dead, back = [], []
    for one in world.dice.sample(world.registry, rounds):
        world.kill(one.payee)
        dead.append(world.run(30.0, lambda one=one: world.believers(one.payee) == 0))
        world.run(1.0)
        world.start(one.payee)
        back.append(world.run(30.0, lambda one=one: world.believers(one.payee) == world.running - 1))
        world.run(1.0)
    return {
        "kills": rounds,
        "dead_everywhere_seconds": {"mean": round(mean(dead), 2), "max": round(max(dead), 2)},
        "back_everywhere_seconds": {"mean": round(mean(back), 2), "max": round(max(back), 2)},
    }


def scenario(size: int, loss: float, kills: int, calm_seconds: float) -> dict[str, Any]:
    started = time.process_time()
    world = World(WorldSettings(size, loss=loss, seed=size))
    converged = cold_start(world)
    found = {
        "nodes": size,
        "loss": loss,
        "cold_start_seconds": round(converged, 2),
        "calm": calm(world, calm_seconds),
        "churn": churn(world, kills),
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    print(json.dumps(found), flush=True)
    return found


def document(rows: Rows, plans: list[Plan]) -> dict[str, Any]:
    """The figure as far as it is done; rows that are still missing are named."""
    missing = [{"nodes": plan[0], "loss": plan[1]} for plan in plans if plan[:2] not in rows]
    return {
        "command": "make gossip-sim",
        "model": {"one_way_seconds": [0.01, 0.08], "round_trips_a_packet": 3, "http_bytes_a_message": HTTP_BYTES},
        "settings": {name: getattr(SwimSettings(), name) for name in SwimSettings.__dataclass_fields__},
        "limits_at_100_nodes": {"dead_seconds": DEAD_LIMIT, "back_seconds": BACK_LIMIT, "met": is_met(rows)},
        **({"not_simulated_yet": missing} if missing else {}),
        "rows": [rows[plan[:2]] for plan in plans if plan[:2] in rows],
    }


def is_met(rows: Rows) -> bool:
    """Whether the limits hold in every loss-free row of 100 nodes."""
    return all(
        row["churn"]["dead_everywhere_seconds"]["max"] <= DEAD_LIMIT
        and row["churn"]["back_everywhere_seconds"]["max"] <= BACK_LIMIT
        for row in rows.values()
        if row["nodes"] == 100 and row["loss"] == 0.0
    )


def rows_of(figure: Path | None) -> Rows:
    """Rows that an interrupted run wrote."""
    found = json.loads(figure.read_text(encoding="utf-8"))["rows"] if figure is not None else []
    return {(row["nodes"], row["loss"]): row for row in found}


def simulate(plans: list[Plan], rows: Rows, options: argparse.Namespace) -> None:
    """What is missing, written as it gets ready: 1,000 nodes take minutes of a free processor."""

    def write() -> None:
        options.out.write_text(json.dumps(document(rows, plans), indent=2) + "\n", encoding="utf-8")

    write()
    with ProcessPoolExecutor(options.workers) as pool:
        waiting = [pool.submit(scenario, *plan) for plan in plans if plan[:2] not in rows]
        for done in as_completed(waiting):
            row = done.result()
            rows[row["nodes"], row["loss"]] = row
            write()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kills at 100 nodes (a tenth of it at 1,000)")
    parser.add_argument("--calm", type=float, default=8.0, help="seconds without kills, simulated")
    parser.add_argument("--large", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2, help="scenarios simulated at once")
    parser.add_argument("--done", type=Path, help="figure of an interrupted run: its rows are kept")
    parser.add_argument("--out", type=Path, default=FIGURES)
    options = parser.parse_args()
    few = max(options.kills // 10, 1)
    plans = [(100, loss, options.kills, options.calm) for loss in (0.0, 0.01)]
    plans += [(options.large, loss, few, options.calm) for loss in (0.0, 0.01, 0.1)]
    rows = rows_of(options.done)
    simulate(plans, rows, options)
    large = {loss: rows[options.large, loss] for loss in (0.0, 0.01, 0.1)}
    print(
        f"gossip-sim: nodes {options.large}, cold start {large[0.0]['cold_start_seconds']} s, "
        f"bytes/node/s {large[0.0]['calm']['bytes_per_node_per_second']}, "
        f"false suspicions 1 % {large[0.01]['calm']['false_suspicions']}, "
        f"10 % {large[0.1]['calm']['false_suspicions']}, limits {'met' if is_met(rows) else 'MISSED'}"
    )
    return 0 if is_met(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
