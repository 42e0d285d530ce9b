"""The node dies, its payer takes the money back, and the watchtower claims what had been pushed: the payee is paid."""

import sys
import time
from pathlib import Path

import httpx
import pytest

from node.cli.devmarket.market import ROOT, Market, Provider
from node.cli.devmarket.processes import Child, answers_ok, free_port, wait_until
from tests.e2e.recovery_market import buy, ready, running_market

pytestmark = pytest.mark.timeout(600)
DAY = 86_400


def start_tower(market: Market, provider: Provider) -> tuple[Child, str]:
    key, port = market.make_key("tower"), free_port()
    command = [
        *(sys.executable, str(ROOT / "scripts" / "watchtower.py"), "--payee", provider.owner),
        *("--keystore", str(key.keystore), "--password-file", str(key.password_file)),
        *("--deployment", str(market.deployment), "--rpc", market.chain.url),
        *("--database", f"sqlite:///{market.plan.folder / 'tower.db'}", "--port", str(port), "--poll-seconds", "0.5"),
    ]
    child, url = market.processes.start("tower", command), f"http://127.0.0.1:{port}"
    wait_until(child, answers_ok(f"{url}/healthz"), 120)
    return child, url


def held(url: str, provider: Provider) -> int:
    """The total of the claim that the tower holds; 0 without one."""
    reply = httpx.get(f"{url}/v1/claims", params={"payee": provider.owner.lower()}, timeout=10, trust_env=False)
    assert reply.status_code == 200, reply.text
    return max((int(row["claim"]["cumulative"]) for row in reply.json()["claims"]), default=0)


def earned(market: Market, provider: Provider) -> int:
    """Everything that was ever paid to the payee from this pair."""
    command = ("status", "--deployment", market.deployment, "--rpc", market.chain.url, provider.owner)
    said = market.run("status", "register", *command)
    return int(said["earnings_released"]) + int(said["earnings_held"])


def test_thaw__node_killed__tower_claims_everything_that_was_pushed(tmp_path: Path) -> None:
    with running_market(tmp_path, settle_seconds=3600) as market:
        (provider,) = market.providers
        tower, url = start_tower(market, provider)
        market.processes.environment = {"WWWSERVE_TOWERS": url, "WWWSERVE_TOWER_SECONDS": "0.5"}
        node = market.start_provider(provider)
        market.prepay()
        market.start_gateway()
        market.await_cover()
        owed = int([buy(market, f"words {number}") for number in range(4)][-1]["cumulative"])
        wait_until(node, lambda: held(url, provider) == owed, 120)
        assert market.settlements() == []
        node.kill()

        market.run(
            "thaw",
            *("prepay", "thaw", provider.owner, "--deployment", market.deployment, "--rpc", market.chain.url),
            *("--keystore", market.client.key.keystore, "--password-file", market.client.key.password_file, "--yes"),
        )
        time.sleep(3)
        assert market.settlements() == [], "the node has the first half of the window for itself"
        market.chain.call("evm_increaseTime", hex(DAY // 2 + 60))
        wait_until(tower, lambda: bool(market.settlements()), 120)
        assert earned(market, provider) == owed

        node = market.launch_provider(provider)  # it reads some hundred blocks first
        wait_until(node, answers_ok(f"{provider.url}/readyz"), 120)
        audit = market.audit()
        assert audit["findings"] == []


def test_start__tower_is_silent__nothing_is_sold_until_it_answers(tmp_path: Path) -> None:
    with running_market(tmp_path) as market:
        (provider,) = market.providers
        market.processes.environment = {"WWWSERVE_TOWERS": f"http://127.0.0.1:{free_port()}"}
        node = market.launch_provider(provider)
        wait_until(node, answers_ok(f"{provider.url}/healthz"), 120)
        assert "watchtower" in ready(provider)["problems"]["books"]
