"""`make rpc-faults`: every way an RPC endpoint fails, alone and beside an honest one, three minutes each.

All time settings of the node (deadlines, pauses, patience) are divided by 20. While a fault lasts, the payee goes on
selling and settling; nothing may be booked that the chain does not say. Afterwards everything must heal by itself:
books equal to the chain, every charge claimed, each once. Last line: `rpc-faults: cases C, violations V`.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node.adapters.chain.accounts import unlocked_account
from node.adapters.chain.evm import connect
from node.adapters.clock import SystemClock
from node.cli.deploying import deploy_set
from node.deployment import load_deployment
from tests.faults.rpc_proxy import ALL_FAULTS
from tests.faults.selling import CannotHealError, Selling, selling
from tests.integration.chain_fixtures import (
    DEV_ACCOUNT,
    OPERATOR,
    PAYER,
    Anvil,
    Market,
    deploy_wishes,
    running_anvil,
)
from tests.integration.test_rpc_faults import Watched, watched

FAULT_SECONDS = 180.0
ROUND_SECONDS = 2.0
"""Between two rounds of events, sales, polls and settling: 40 s of the node's own time."""
ROUNDS_A_CHECK = 8
"""Comparing with a fresh index is most of the work."""
COMPANY = {"alone": False, "beside an honest one": True}


async def run_case(anvil: Anvil, folder: Path, fault: str, *, has_second: bool, seconds: float) -> str:
    """What went wrong; empty when nothing did."""
    file = folder / "deployment.json"
    await deploy_set(deploy_wishes(file), [anvil.url], DEV_ACCOUNT)
    chain = connect(load_deployment(file), [anvil.url], SystemClock().monotonic)
    try:
        anvil.give_coin(PAYER.address)
        anvil.give_coin(OPERATOR.address)
        market = Market(anvil, load_deployment(file), file, chain, await unlocked_account(chain, 1))
        async with watched(market, has_second=has_second) as node, selling(node, folder) as payee:
            return await _suffer(node, payee, fault, seconds)
    finally:
        await chain.close()


async def _suffer(node: Watched, payee: Selling, fault: str, seconds: float) -> str:
    node.proxy.set(fault)
    until, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        started, rounds = time.monotonic(), rounds + 1
        await node.act()
        await node.poll_some()
        await payee.work()
        if rounds % ROUNDS_A_CHECK == 1 and (wrong := await _wrongly_booked(node, payee)):
            return wrong
        await asyncio.sleep(max(0.0, started + ROUND_SECONDS - time.monotonic()))
    wrong = await _wrongly_booked(node, payee)
    node.proxy.set("")
    try:
        await node.heal()
        await payee.heal()
    except (TimeoutError, CannotHealError) as exc:
        return f"{wrong} did not heal: {exc}".strip()
    return wrong


async def _wrongly_booked(node: Watched, payee: Selling) -> str:
    known = [event for event in await node.truth() if event.block_number <= node.book.head]
    if node.book.events != known:
        return f"booked {len(node.book.events)} events where the chain has {len(known)}"
    return await payee.wrongly_booked()


def run_one(fault: str, company: str, seconds: float) -> str:
    """One case in this process."""
    with tempfile.TemporaryDirectory() as folder, running_anvil() as anvil:
        return asyncio.run(run_case(anvil, Path(folder), fault, has_second=COMPANY[company], seconds=seconds))


def run_apart(fault: str, company: str, seconds: float) -> str:
    """One case in a process of its own, so that many can wait at once without slowing each other's event loop."""
    command = [sys.executable, "-m", "tests.faults.rpc_faults", "--case", fault, company, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode not in (0, 1) or not lines:
        return f"the case itself failed: {done.stderr.strip()[-2_000:]}"
    return lines[-1].removeprefix("ok")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=FAULT_SECONDS)
    parser.add_argument("--at-once", type=int, default=8, help="cases that run at the same time")
    parser.add_argument("--only", nargs="*", choices=ALL_FAULTS, default=ALL_FAULTS, metavar="FAULT")
    parser.add_argument("--case", nargs=2, metavar=("FAULT", "COMPANY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    if options.case:
        wrong = run_one(*options.case, options.seconds)
        sys.stdout.write(f"{wrong or 'ok'}\n")
        raise SystemExit(1 if wrong else 0)
    cases = [(fault, company) for fault in options.only for company in COMPANY]
    violations = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        for (fault, company), wrong in zip(
            cases, pool.map(lambda case: run_apart(*case, options.seconds), cases), strict=True
        ):
            violations += bool(wrong)
            sys.stdout.write(f"  {fault:16} {company:21} {wrong or 'ok'}\n")
            sys.stdout.flush()
    sys.stdout.write(f"rpc-faults: cases {len(cases)}, violations {violations}\n")
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
