"""SIGKILL a random node or the gateway under paying load, restart it, audit; again and again on one running market.

`python -m tests.faults.kill_loop --kills 200`. The last line is `kill-loop: N kills, V violations`; V and every other
count come from `scripts/audit.py verify --json`, run after each kill.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.cli.devmarket.market import Market, MarketPlan
from node.cli.devmarket.processes import Child, Processes, answers_ok, free_port, wait_until
from tests.fakes import tiny_tokenizer
from tests.faults.load import Load

MODEL = "stub"
RESTART_LIMIT = 10.0
"""Seconds a killed process may take to be ready again (issue figure)."""


@dataclass(slots=True)
class Tally:
    """What the auditor said, kill by kill, and how long restarts took."""

    kills: int = 0
    violations: int = 0
    restarts: list[float] = field(default_factory=list)
    last: dict[str, object] = field(default_factory=dict)


def build_market(folder: Path, processes: Processes, names: Sequence[str] = ("provider-1", "provider-2")) -> Market:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    port = free_port()
    stub = processes.start(
        "engine",
        [sys.executable, "-m", "tests.fakes.engine_stub", "--port", str(port), "--model", MODEL,
         "--tokenizer", str(tokenizer / "tokenizer.json"), "--template", str(tokenizer / "chat_template.jinja")],
    )  # fmt: skip
    wait_until(stub, answers_ok(f"http://127.0.0.1:{port}/health"), 20)
    market = Market(MarketPlan(folder, f"http://127.0.0.1:{port}", MODEL, tokenizer), processes)
    market.start_chain()
    market.deploy()
    for name in names:
        market.add_provider(name)
    for provider in market.providers:
        market.start_provider(provider)
    market.prepay()
    market.start_gateway()
    return market


def restarters(market: Market) -> dict[str, Callable[[], Child]]:
    found: dict[str, Callable[[], Child]] = {"gateway": market.start_gateway}
    for provider in market.providers:
        found[provider.name] = lambda provider=provider: market.start_provider(provider)
    return found


async def run(kills: int, seed: int) -> Tally:
    dice = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="wwwserve-kills-") as temporary, Processes(Path(temporary)) as processes:
        market = await asyncio.to_thread(build_market, Path(temporary), processes)
        load = Load(market.gateway_url, market.api_key, MODEL, workers=6, seed=seed)
        load.start()
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            await asyncio.to_thread(kill_one, market, dice, tally)
            await asyncio.to_thread(audit_into, tally, market)
        await load.stop()
        await asyncio.sleep(2 * market.plan.settle_seconds)
        await asyncio.to_thread(audit_into, tally, market)
        print(json.dumps({"client_saw": dict(load.seen), "audit": tally.last.get("counts")}, indent=1))
    return tally


def kill_one(market: Market, dice: random.Random, tally: Tally) -> None:
    choices = restarters(market)
    victim = dice.choice(sorted(choices))
    market.processes.children[victim].kill()
    started = time.monotonic()
    choices[victim]()
    tally.restarts.append(time.monotonic() - started)
    tally.kills += 1


def audit_into(tally: Tally, market: Market) -> None:
    said = market.audit()
    tally.last = said
    counts = said["counts"]
    tally.violations = max(tally.violations, int(counts["violations"]))  # type: ignore[index]
    for finding in said["findings"] if tally.violations else ():  # type: ignore[attr-defined]
        print(json.dumps(finding), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    tally = asyncio.run(run(options.kills, options.seed))
    slowest = max(tally.restarts, default=0.0)
    print(f"restart: slowest {slowest:.1f} s of {len(tally.restarts)} (limit {RESTART_LIMIT:g} s)")
    print(f"kill-loop: {tally.kills} kills, {tally.violations} violations")
    raise SystemExit(0 if tally.violations == 0 and slowest <= RESTART_LIMIT else 1)


if __name__ == "__main__":
    main()
