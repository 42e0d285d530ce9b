"""Each named fail point in turn: a node dies exactly there under paying load, comes back, and the auditor counts.

`python -m tests.faults.fail_points [--only NAME ...]`. The last line is `fail-points: cases C, violations V`; V comes
from `scripts/audit.py verify --json` alone. A point that was not reached is told by name, and the exit code is 1.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.adapters.failpoints import NAMES
from node.cli.devmarket.market import Market, Provider
from node.cli.devmarket.processes import Child, Processes
from tests.faults.kill_loop import MODEL, RESTART_LIMIT, build_market
from tests.faults.load import Load

VARIABLE = "WWWSERVE_FAIL_POINT"
REACH_SECONDS = 600.0
"""How long a point may take to be reached: settling and finality are slow on purpose, and the machine may be busy."""
WORKERS, PAUSE = 3, 1.0
"""Parallel requests and the longest rest between them, seconds: each audit re-checks every receipt so far."""
MOST_CALLS = 6
"""The nth crossing that kills is drawn from 1 to this; what happens once in a life or seldom dies the first time."""
SELDOM = ("take-lease", "claims", "claim", "tx", "broadcast", "events")


@dataclass(slots=True)
class Tally:
    """What the auditor said after each case, and how long restarts took."""

    cases: int = 0
    violations: int = 0
    missed: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    last: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.violations and not self.missed and max(self.restarts, default=0.0) <= RESTART_LIMIT


async def run(names: Sequence[str], seed: int) -> Tally:
    dice, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="wwwserve-points-") as temporary, Processes(Path(temporary)) as processes:
        market = await asyncio.to_thread(build_market, Path(temporary), processes, ("provider-1",), ("client",))
        load = Load(market.client.gateway_url, market.client.api_key, MODEL, WORKERS, seed, PAUSE)
        load.start()
        for name in names:
            number = 1 if name.endswith(SELDOM) else dice.randint(1, MOST_CALLS)
            await asyncio.to_thread(try_point, market, f"{name}:{number}", tally)
        await load.stop()
        await asyncio.sleep(2 * market.plan.settle_seconds)
        await asyncio.to_thread(audit_into, tally, market, "the end")
        print(json.dumps({"client_saw": dict(load.seen), "audit": tally.last.get("counts")}, indent=1))
    return tally


def try_point(market: Market, armed: str, tally: Tally) -> None:
    """Kill the node, start it armed, wait for its death, start it unarmed, audit."""
    (provider,) = market.providers
    market.processes.children[provider.name].kill()
    started = time.monotonic()
    died = _die_at(market, provider, armed)
    reached = time.monotonic() - started
    started = time.monotonic()
    market.start_provider(provider)
    tally.restarts.append(time.monotonic() - started)
    if not died:
        tally.missed.append(armed)
        return
    tally.cases += 1
    audit_into(tally, market, armed)
    times = f"died after {reached:.1f} s, ready again after {tally.restarts[-1]:.1f} s"
    print(f"{armed}: {times}, violations so far {tally.violations}", flush=True)


def _die_at(market: Market, provider: Provider, armed: str) -> bool:
    market.processes.environment = {VARIABLE: armed}
    try:
        child = market.launch_provider(provider)
    finally:
        market.processes.environment = {}
    return _has_died(child)


def _has_died(child: Child) -> bool:
    """By SIGKILL, which nobody but the fail point sends here; a node still alive at the end is killed uncounted."""
    deadline = time.monotonic() + REACH_SECONDS
    while child.is_running and time.monotonic() < deadline:
        time.sleep(0.05)
    died = child.popen.poll() == -9
    child.kill()
    return died


def audit_into(tally: Tally, market: Market, label: str) -> None:
    said = market.audit()
    tally.last = said
    found = int(said["counts"]["violations"])
    tally.violations = max(tally.violations, found)
    for finding in said["findings"] if found else ():
        print(label, json.dumps(finding), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"seed {options.seed}", flush=True)
    tally = asyncio.run(run(options.only, options.seed))
    for name in tally.missed:
        print(f"not reached within {REACH_SECONDS:g} s: {name}")
    print(f"restart: slowest {max(tally.restarts, default=0.0):.1f} s (limit {RESTART_LIMIT:g} s)")
    print(f"fail-points: cases {tally.cases}, violations {tally.violations}")
    raise SystemExit(0 if tally.is_clean else 1)


if __name__ == "__main__":
    main()
