"""`make rpc-faults`: each way an RPC endpoint can fail, alone and beside an honest one, 3 minutes of adapter time.

All pauses of the adapter run 20 times faster, so a fault lasts 9 s here. While it lasts nothing may be booked that the
chain does not say; afterwards the books must catch up alone. Last line: `rpc-faults: cases C, violations V`.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from node.adapters.chain.accounts import unlocked_account
from node.adapters.chain.evm import connect
from node.adapters.clock import SystemClock
from node.cli.deploying import deploy_set
from node.deployment import load_deployment
from tests.faults.rpc_proxy import ALL_FAULTS
from tests.integration.chain_fixtures import DEV_ACCOUNT, PAYER, Anvil, Market, deploy_wishes, running_anvil
from tests.integration.test_rpc_faults import Watched, watched

FAULT_SECONDS = 9.0
"""180 s of the adapter's time."""


async def run_case(anvil: Anvil, folder: Path, fault: str, *, has_second: bool, seconds: float) -> str:
    """What went wrong; empty when nothing did."""
    file = folder / "deployment.json"
    await deploy_set(deploy_wishes(file), [anvil.url], DEV_ACCOUNT)
    chain = connect(load_deployment(file), [anvil.url], SystemClock().monotonic)
    try:
        anvil.give_coin(PAYER.address)
        market = Market(anvil, load_deployment(file), file, chain, await unlocked_account(chain, 1))
        async with watched(market, has_second=has_second) as node:
            return await _suffer(node, fault, seconds)
    finally:
        await chain.close()


async def _suffer(node: Watched, fault: str, seconds: float) -> str:
    node.proxy.set(fault)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await node.act()
        await node.poll_some()
        known = [event for event in await node.truth() if event.block_number <= node.book.head]
        if node.book.events != known:
            return f"booked {len(node.book.events)} events where the chain has {len(known)}"
    node.proxy.set("")
    try:
        await node.heal()
    except TimeoutError:
        return "did not heal"
    return ""


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=FAULT_SECONDS)
    parser.add_argument("--only", default="", help="one fault's name")
    arguments = parser.parse_args()
    cases, violations = 0, 0
    for fault in ALL_FAULTS:
        for has_second in (False, True):
            if arguments.only not in ("", fault):
                continue
            with tempfile.TemporaryDirectory() as folder, running_anvil() as anvil:
                case = run_case(anvil, Path(folder), fault, has_second=has_second, seconds=arguments.seconds)
                wrong = asyncio.run(case)
            cases, violations = cases + 1, violations + bool(wrong)
            company = "beside an honest one" if has_second else "alone"
            sys.stdout.write(f"  {fault:16} {company:21} {wrong or 'ok'}\n")
            sys.stdout.flush()
    sys.stdout.write(f"rpc-faults: cases {cases}, violations {violations}\n")
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
