"""SIGKILL random nodes and gateways under paying load, restart them, audit; again and again on one running market.

`python -m tests.faults.kill_loop --kills 200`: three nodes, two clients with a gateway each, a chain. Up to 200 kills
each is followed by an audit; beyond that processes die in rounds of four, and each round is followed by one. The last
line is `kill-loop: N kills, V violations`; every count comes from `scripts/audit.py verify --json`.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from node.cli.devmarket.market import Market, MarketPlan
from node.cli.devmarket.processes import Child, Processes, answers_ok, free_port, wait_until
from tests.fakes import tiny_tokenizer
from tests.faults.load import Load

MODEL = "stub"
PROVIDERS = ("provider-1", "provider-2", "provider-3")
CLIENTS = ("client-1", "client-2")
WORKERS, PAUSE = 4, 6.0
"""A client's parallel requests, and their longest rest in seconds: each audit re-checks every receipt so far."""
SINGLE_KILLS = 200
"""Most kills with an audit after each; a longer run kills in rounds, which also makes deaths overlap."""
ROUND = 4
SETTLE_SECONDS = 2.0
SELDOM_SETTLE_SECONDS = 8.0
"""In a long run: the auditor asks one page of receipts a settlement, every time anew."""
RESTART_LIMIT = 10.0
"""Seconds a killed process may take to be ready again (issue figure)."""


@dataclass(slots=True)
class Tally:
    """What the auditor said, kill by kill, and how long restarts took."""

    kills: int = 0
    audits: int = 0
    violations: int = 0
    restarts: list[float] = field(default_factory=list)
    last: dict[str, object] = field(default_factory=dict)


def build_market(
    folder: Path,
    processes: Processes,
    providers: Sequence[str],
    clients: Sequence[str],
    *,
    settle_seconds: float = SETTLE_SECONDS,
) -> Market:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    port = free_port()
    stub = processes.start(
        "engine",
        [sys.executable, "-m", "tests.fakes.engine_stub", "--port", str(port), "--model", MODEL,
         "--tokenizer", str(tokenizer / "tokenizer.json"), "--template", str(tokenizer / "chat_template.jinja")],
    )  # fmt: skip
    wait_until(stub, answers_ok(f"http://127.0.0.1:{port}/health"), 20)
    plan = MarketPlan(folder, f"http://127.0.0.1:{port}", MODEL, tokenizer, settle_seconds=settle_seconds)
    market = Market(plan, processes)
    market.start_chain()
    market.deploy()
    for name in providers:
        market.add_provider(name)
    for provider in market.providers:
        market.start_provider(provider)
    for name in clients:
        market.start_gateway(market.prepay(name))
    return market


def restarters(market: Market) -> dict[str, Callable[[], Child]]:
    nodes = {provider.name: partial(market.start_provider, provider) for provider in market.providers}
    return nodes | {market.gateway_name(client): partial(market.start_gateway, client) for client in market.clients}


async def run(kills: int, seed: int) -> Tally:
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="wwwserve-kills-") as temporary, Processes(Path(temporary)) as processes:
        market = await asyncio.to_thread(
            build_market,
            Path(temporary),
            processes,
            PROVIDERS,
            CLIENTS,
            settle_seconds=SETTLE_SECONDS if kills <= SINGLE_KILLS else SELDOM_SETTLE_SECONDS,
        )
        loads = [
            Load(client.gateway_url, client.api_key, MODEL, WORKERS, seed * 100 + number, PAUSE)
            for number, client in enumerate(market.clients)
        ]
        for load in loads:
            load.start()
        while tally.kills < kills:
            size = 1 if kills <= SINGLE_KILLS else min(ROUND, kills - tally.kills)
            victims = dice.sample(sorted(restarters(market)), size)
            await asyncio.gather(*(kill_one(market, name, dice.uniform(0.2, 1.0), tally) for name in victims))
            await asyncio.to_thread(audit_into, tally, market)
        await asyncio.gather(*(load.stop() for load in loads))
        await asyncio.sleep(2 * market.plan.settle_seconds)
        await asyncio.to_thread(audit_into, tally, market)
        seen = sum((load.seen for load in loads), Counter[str]())
        print(json.dumps({"clients_saw": dict(seen), "audit": tally.last.get("counts")}, indent=1))
    return tally


async def kill_one(market: Market, victim: str, after: float, tally: Tally) -> None:
    await asyncio.sleep(after)
    await asyncio.to_thread(market.processes.children[victim].kill)
    started = time.monotonic()
    await asyncio.to_thread(restarters(market)[victim])
    tally.restarts.append(time.monotonic() - started)
    tally.kills += 1


def audit_into(tally: Tally, market: Market) -> None:
    said = market.audit()
    tally.last = said
    tally.audits += 1
    counts = said["counts"]
    tally.violations = max(tally.violations, int(counts["violations"]))
    for finding in said["findings"] if tally.violations else ():
        print(json.dumps(finding), file=sys.stderr)
    print(f"{tally.kills} kills, {counts['receipts']} receipts, {counts['violations']} violations", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    started = time.monotonic()
    tally = asyncio.run(run(options.kills, options.seed))
    slowest = max(tally.restarts, default=0.0)
    middle = statistics.median(tally.restarts) if tally.restarts else 0.0
    print(f"{tally.audits} audits in {time.monotonic() - started:.0f} s")
    print(
        f"restart: median {middle:.1f} s, slowest {slowest:.1f} s of {len(tally.restarts)} (limit {RESTART_LIMIT:g} s)"
    )
    print(f"kill-loop: {tally.kills} kills, {tally.violations} violations")
    raise SystemExit(0 if tally.violations == 0 and slowest <= RESTART_LIMIT else 1)


if __name__ == "__main__":
    main()
