"""The auditor against the shipped contracts on a real chain and receipts over real HTTP, by its command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.frauds.anvil import ANVIL, ROOT, RealChain, deploy, running_anvil
from tests.frauds.listening import listening
from tests.frauds.market import payee
from tests.frauds.serving import Served
from tests.frauds.world import World

pytestmark = pytest.mark.skipif(not ANVIL.exists(), reason="anvil is not installed (npm ci)")
DAY = 86_400


@dataclass
class Lab:
    """A live market and its auditor."""

    world: World
    rpc: str
    deployment: Path

    def verify(self, *options: str) -> tuple[int, dict]:
        command = [sys.executable, str(ROOT / "scripts" / "audit.py"), "verify", "--json", "--block", "latest"]
        command += ["--rpc", self.rpc, "--deployment", str(self.deployment), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    world = World()

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return Served(world.evidence()).answer(method, path, body)

    with running_anvil() as rpc, listening(answer) as archive:
        deployment = tmp_path / "deployment.json"
        world.chain = RealChain.deployed(rpc, deploy(rpc, deployment))
        with world.chain.client:
            world.chain.archive = archive
            world.add_payee("north")
            world.add_payer("alice", {"north": 100_000})
            yield Lab(world, rpc, deployment)


def test_verify__honest_market_on_anvil__finds_nothing(lab: Lab) -> None:
    for _ in range(3):
        lab.world.serve("alice", "north")
    lab.world.settle("alice", "north")
    lab.world.serve("alice", "north")
    lab.world.settle("alice", "north")
    lab.world.serve("alice", "north")
    code, found = lab.verify("--allow-private", "--receipts")
    assert (code, found["findings"]) == (0, [])
    counts = found["counts"]
    assert (counts["settlements"], counts["receipts"], counts["unsettled_receipts"]) == (2, 5, 1)
    assert counts["balances_compared"] > 5


def test_verify__whole_life_on_anvil__finds_nothing(lab: Lab) -> None:
    world, chain = lab.world, lab.world.chain
    alice, north = payee("alice"), payee("north")
    world.serve("alice", "north")
    world.settle("alice", "north")
    chain.bump(north)
    lane = world.lane("alice", "north")
    lane.charged = lane.ceiling = world.lane("alice", "north", generation=1).charged
    world.serve("alice", "north")
    world.settle("alice", "north")
    chain.request_thaw(alice, north, 40_000)
    chain.mine(2 * DAY + 60)
    chain.collect(north)
    chain.withdraw_from(alice, north)
    code, found = lab.verify("--allow-private")
    assert (code, found["findings"]) == (0, [])
    assert found["earnings"][north] == 0
    assert found["free"][alice] == 0


def test_verify__overclaim_on_anvil__exits_1_with_its_code(lab: Lab) -> None:
    world = lab.world
    world.serve("alice", "north")
    claim = {"cumulative": world.lane("alice", "north").charged + 5}
    world.settle("alice", "north", claim=claim)
    code, found = lab.verify("--allow-private")
    assert (code, list(found["findings_by_code"])) == (1, ["AUD-037"])


def test_verify__overclaim_challenged_on_anvil__slash_adds_up(lab: Lab) -> None:
    world, alice = lab.world, payee("alice")
    entry = world.serve("alice", "north")
    world.settle("alice", "north", claim={"cumulative": int(entry["receipt"]["cumulative"]) + 5})
    settlement = next(iter(world.settlements.values()))
    world.chain.challenge(alice, settlement, entry)
    code, found = lab.verify("--allow-private")
    assert (code, sorted(found["findings_by_code"])) == (1, ["AUD-028", "AUD-037"])
    assert found["free"][alice] == 1_000 + 5


def test_verify__private_endpoint_without_leave__is_not_asked(lab: Lab) -> None:
    lab.world.serve("alice", "north")
    lab.world.settle("alice", "north")
    code, found = lab.verify()
    assert (code, list(found["findings_by_code"])) == (1, ["AUD-031"])


def test_verify__second_endpoint_is_another_chain__cannot_audit(lab: Lab, tmp_path: Path) -> None:
    with running_anvil() as other:
        code, found = lab.verify("--rpc", other)
    assert code == 2
    assert "chain" in found["error"]
