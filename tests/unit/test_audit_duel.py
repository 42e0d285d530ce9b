"""`audit.py duel`: one duel from chain data alone, as a table and as JSON."""

import json
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from typer.testing import CliRunner

from node.audit.rpc import Rpc
from node.cli.audit import app
from tests.frauds.auditing import no_pause
from tests.frauds.run import CASES, load
from tests.frauds.serving import Served


def run(case: str, tmp_path: Path, *options: str, duel: str = "") -> tuple[int, str]:
    history = load(CASES / case)[0]
    opened = [event["args"]["duelId"] for event in history["events"] if event["name"] == "Opened"]
    names = ("chain_id", "escrow", "registry", "duels", "currency", "deploy_block")
    document = {name: history.get(name) for name in names} | {"schema": 1, "currency_decimals": 6}
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps(document))
    rpc = Rpc("http://127.0.0.1/rpc", httpx.Client(transport=Served(history).transport()), no_pause)
    with patch("node.cli.audit.open_rpc", lambda _url: rpc):
        done = CliRunner().invoke(app, ["duel", duel or opened[0], "--deployment", str(file), *options])
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def test_duel__honest__shows_seats_votes_and_money(tmp_path: Path) -> None:
    code, out = run("honest-duel-appealed", tmp_path, "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["state"], found["seed_known"]) == (0, True, "second won", False)
    assert [seat["vote"] for seat in found["seats"][:5]] == ["first"] * 4 + ["-"]
    assert len(found["seats"]) == 20
    assert found["slashed"][found["first"]] >= 47


def test_duel__honest__says_so_in_a_table(tmp_path: Path) -> None:
    code, out = run("honest-duels", tmp_path)
    assert (code, "those that the chain's data give" in " ".join(out.split())) == (0, True)


@pytest.mark.parametrize("case", ["duel-judges-picked", "duel-vote-swapped", "duel-prize-raised"])
def test_duel__fraud__exits_1_with_its_code(case: str, tmp_path: Path) -> None:
    code, out = run(case, tmp_path, "--json")
    assert (code, [each["code"] for each in json.loads(out)["findings"]]) == (1, load(CASES / case)[1]["codes"])


@pytest.mark.parametrize(
    ("case", "duel"), [("honest-duels", "0x" + "01" * 32), ("honest-duels", "0x01"), ("honest-plain", "0x" + "01" * 32)]
)
def test_duel__unknown_or_no_duels__exits_2(case: str, duel: str, tmp_path: Path) -> None:
    code, out = run(case, tmp_path, "--json", duel=duel)
    assert (code, json.loads(out)["ok"]) == (2, False)
