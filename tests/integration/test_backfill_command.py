"""`backfill.py` on a real chain: hundreds of blocks once, and nothing twice."""

from node.cli import backfill
from tests.integration.chain_fixtures import anvil
from tests.integration.test_chain_commands import Shell, deployed, shell

__all__ = ["anvil", "deployed", "shell"]


def test_backfill__hundreds_of_blocks__are_read_once(deployed: Shell) -> None:
    deployed.anvil.rpc("anvil_mine", hex(600))
    database = ("--database", f"sqlite:///{deployed.folder}/books.db")
    first = deployed.ok(backfill.app, *deployed.place, *database)
    assert first["blocks"] >= 600
    assert first["head"] == int(deployed.anvil.rpc("eth_blockNumber"), 16)
    deployed.anvil.rpc("anvil_mine", hex(5))
    again = deployed.ok(backfill.app, *deployed.place, *database)
    assert (again["blocks"], again["from"]) == (5, first["head"] + 1)
    assert "0 blocks read" in deployed.run(backfill.app, *deployed.place, *database).stdout


def test_backfill__no_database_or_another_chain__is_one_sentence(deployed: Shell) -> None:
    result = deployed.run(backfill.app, *deployed.place, "--database", "mysql://x")
    assert result.exit_code != 0
    assert "Traceback" not in result.output
