"""A real anvil per test and the contracts on it. A test module imports the fixtures it needs by name."""

import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.adapters.chain.accounts import UnlockedAccount, send_and_wait, unlocked_account
from node.adapters.chain.evm import EvmChain, connect
from node.adapters.clock import SystemClock
from node.adapters.keys import LocalSigner, Secret
from node.cli.deploying import DuelWindows, SetTimes, Wishes, deploy_set
from node.cli.session import KeyOptions, Session
from node.core.transactions import Call, TxReceipt
from node.core.types import Address, Amount
from node.deployment import Deployment, load_deployment

BINARY = Path(__file__).parents[2] / "node_modules" / ".bin" / "anvil"
OPERATOR = LocalSigner(Secret(b"\x05" * 32))
PAYER = LocalSigner(Secret(b"\x06" * 32))
STAKE = 1_000_000_000
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Anvil:
    """A running development chain."""

    url: str

    def rpc(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer = json.load(reply)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):  # anvil_mine(n) gives all of them one timestamp
            self.rpc("anvil_mine", "0x1")

    def give_coin(self, address: Address, wei: int = 10**19) -> None:
        self.rpc("anvil_setBalance", "0x" + address.hex(), hex(wei))


@contextmanager
def running_anvil(*options: str) -> Iterator[Anvil]:
    if not BINARY.exists():
        if os.environ.get("CI"):
            pytest.fail("anvil is missing: run npm ci")
        pytest.skip("anvil is missing: run npm ci")
    slots = () if "--slots-in-an-epoch" in options else ("--slots-in-an-epoch", "2")
    command = [str(BINARY), "--host", "127.0.0.1", "--port", "0", *slots, *options]
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would fill up and stop the chain
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Anvil(f"http://127.0.0.1:{_port(process, log.fileno())}")
        finally:
            process.kill()
            process.wait(timeout=10)


def _port(process: "subprocess.Popen[bytes]", log: int) -> str:
    """The port anvil chose, from its log."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = re.search(rb"Listening on .*:(\d+)", os.pread(log, 1 << 16, 0))
        if found:
            return found[1].decode()
        time.sleep(0.02)
    raise RuntimeError("anvil did not start")


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with running_anvil() as chain:
        yield chain


@dataclass(frozen=True, slots=True)
class Market:
    """Deployed contracts, with accounts 0 (deployer) and 1 (payee) unlocked and a payer key with coin and currency."""

    anvil: Anvil
    deployment: Deployment
    file: Path
    chain: EvmChain
    payee: UnlockedAccount

    async def send(self, account: UnlockedAccount, call: Call) -> TxReceipt:
        return await send_and_wait(self.chain, account, call)

    async def escrow(self, account: UnlockedAccount, function: str, *args: object) -> TxReceipt:
        call = Call(self.deployment.escrow, self.chain.escrow.encode_call(function, *args))
        return await self.send(account, call)

    async def payer_account(self) -> UnlockedAccount:
        """The payer's address, impersonated: its key signs vouchers, anvil signs its transactions."""
        self.anvil.rpc("anvil_impersonateAccount", "0x" + PAYER.address.hex())
        return UnlockedAccount(self.chain, PAYER.address)

    async def set_operator(self) -> None:
        await self.escrow(self.payee, "setOperator", OPERATOR.address)

    async def prepay(self, amount: int) -> None:
        """Mint, deposit and allot `amount` from the payer to the payee."""
        session = Session(self.chain, await self.payer_account(), is_quiet=True)
        await session.ensure_currency(amount, mints=True)
        await session.ensure_allowance(self.deployment.escrow, amount, "escrow")
        await session.escrow("deposit", "deposit", amount)
        await session.escrow("allot", "allot", (self.payee.address,), (amount,))


def deploy_wishes(out: Path, **changes: Any) -> Wishes:
    wishes: dict[str, Any] = {
        "out": out,
        "currency": None,
        "min_stake": Amount(100_000_000),
        "times": SetTimes(),
        "windows": DuelWindows(),
        "is_dry_run": False,
        "is_agreed": True,
        "is_quiet": True,
    }
    return Wishes(**{**wishes, **changes})


DEV_ACCOUNT = KeyOptions(None, None, None, 0)


@pytest.fixture
async def market(anvil: Anvil, tmp_path: Path) -> AsyncIterator[Market]:
    file = tmp_path / "deployment.json"
    await deploy_set(deploy_wishes(file), [anvil.url], DEV_ACCOUNT)
    deployment = load_deployment(file)
    chain = connect(deployment, [anvil.url], SystemClock().monotonic)
    anvil.give_coin(PAYER.address)
    anvil.give_coin(OPERATOR.address)
    try:
        yield Market(anvil, deployment, file, chain, await unlocked_account(chain, 1))
    finally:
        await chain.close()
