"""scripts/duels.py as a provider runs it: enroll, fund, status, collect, resign; one sentence for what goes wrong."""

import json

from node.cli import duels
from tests.integration.chain_fixtures import anvil
from tests.integration.test_chain_commands import NOBODY, PAYEE, Shell, deployed, shell

__all__ = ["anvil", "deployed", "shell"]
OWNER = ("--dev-account", 1)


def test_duels__enroll_fund_collect_resign__each_shows_what_the_court_knows(deployed: Shell) -> None:
    deployed.registered()
    hot = deployed.address("operator")
    said = deployed.ok(duels.app, "enroll", *deployed.place, *OWNER, "--delegate", hot, "--yes")
    assert (said["enrolled"], said["delegate"], said["place"]) == (True, hot, 1)
    assert said["weight"] > 0
    again = deployed.ok(duels.app, "enroll", *deployed.place, *OWNER, "--delegate", hot, "--yes")
    assert again["transactions"] == []
    other = deployed.ok(duels.app, "enroll", *deployed.place, *OWNER, "--delegate", NOBODY, "--yes")
    assert other["delegate"] == NOBODY
    funded = deployed.ok(duels.app, "fund", *deployed.place, *OWNER, "--amount", "5 DEV", "--mint-dev", "--yes")
    assert funded["balance"] == "5000000"
    assert deployed.ok(duels.app, "status", *deployed.place, PAYEE)["balance"] == "5000000"
    collected = deployed.ok(duels.app, "collect", *deployed.place, *OWNER, "--yes")
    assert collected["balance"] == "0"
    resigned = deployed.ok(duels.app, "resign", *deployed.place, *OWNER, "--yes")
    assert (resigned["enrolled"], resigned["weight"]) == (False, 0)


def test_duels__nothing_to_collect_no_listing_no_address__is_one_sentence(deployed: Shell) -> None:
    place = deployed.place
    deployed.refused(2, "nothing to collect", duels.app, "collect", *place, *OWNER, "--yes")
    deployed.refused(1, "StakeTooLow", duels.app, "enroll", *place, *OWNER, "--delegate", NOBODY, "--yes")
    deployed.refused(2, "--delegate", duels.app, "enroll", *place, *OWNER, "--delegate", "0x12", "--yes")


def test_duels__a_deployment_without_them__says_so(deployed: Shell) -> None:
    file = deployed.folder / "deployment.json"
    document = json.loads(file.read_text())
    document["duels"] = None
    file.write_text(json.dumps(document))
    result = deployed.run(duels.app, "status", *deployed.place, PAYEE)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
