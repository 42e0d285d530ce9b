"""A provider restores an old database: the node notices, stops, says what to do; nobody loses."""

from pathlib import Path

import pytest

from node.cli.devmarket.market import Market, Provider
from node.cli.devmarket.processes import ProcessFailed, answers_ok, wait_until
from node.core.recovery import INSTRUCTION
from tests.e2e.recovery_market import ask, buy, copy_database, database_of, put_back, ready, running_market

pytestmark = pytest.mark.timeout(600)


def recover(market: Market, provider: Provider, command: str, *more: object) -> dict[str, object]:
    return market.run(
        command,
        *("recover", command, "--deployment", market.deployment, "--rpc", market.chain.url),
        *("--payee", provider.owner, "--database", f"sqlite:///{database_of(market, provider)}"),
        *("--operator-keystore", provider.operator.keystore, *more),
    )


def test_restore__old_backup__refused_recovered_paid_on_and_the_auditor_is_clean(tmp_path: Path) -> None:
    with running_market(tmp_path) as market:
        (provider,) = market.providers
        node = market.start_provider(provider)
        market.prepay()
        market.start_gateway()
        market.await_cover()
        before = [buy(market, f"first {number}") for number in range(3)]
        assert recover(market, provider, "check")["is_sound"] is True
        backup = tmp_path / "backup.db"
        copy_database(database_of(market, provider), backup)
        lost = [buy(market, f"lost {number}") for number in range(4)]
        wait_until(node, lambda: bool(market.settlements()), 120)

        node.kill()
        put_back(backup, database_of(market, provider))
        node = market.launch_provider(provider)
        wait_until(node, answers_ok(f"{provider.url}/healthz"), 120)
        said = ready(provider)
        assert said["is_ready"] is False
        assert INSTRUCTION in said["problems"]["books"]
        assert ask(market, "while it is stale").status_code >= 400
        with pytest.raises(ProcessFailed, match=r"recover\.py bump"):
            recover(market, provider, "check")

        key = ("--keystore", provider.operator.keystore, "--password-file", provider.operator.password_file, "--yes")
        assert recover(market, provider, "bump", *key)["generation"] == 2
        market.await_provider(provider)
        after = [buy(market, f"after {number}") for number in range(3)]
        running = int(lost[-1]["cumulative"])
        assert int(after[0]["cumulative"]) == running + int(after[0]["charge"])
        assert int(lost[0]["cumulative"]) == int(before[-1]["cumulative"]) + int(lost[0]["charge"])

        lane = market.client.key.address
        count = len(market.settlements())
        wait_until(node, lambda: len(market.settlements()) > count, 120)
        audit = market.audit()
        assert audit["findings"] == [], (lane, audit["findings"])
        assert audit["counts"]["violations"] == 0
        assert audit["counts"]["receipts"] >= len(before) + len(lost) + len(after)
