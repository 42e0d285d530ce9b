"""`audit.py` as people meet it: help, receipts offline, tables, and one sentence for every mistake."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from node.audit.held_file import load_held
from node.audit.rpc import Rpc
from node.audit.web import Web
from node.cli import audit as command
from node.cli.audit import app
from node.cli.audit_tables import show_audit, show_lane
from tests.frauds.auditing import audit_history, no_pause
from tests.frauds.market import payee, settled
from tests.frauds.run import CASES, load
from tests.frauds.serving import Served


@pytest.fixture
def deployment(tmp_path: Path) -> str:
    history = settled().history()
    members = {name: history[name] for name in ("chain_id", "escrow", "registry", "currency", "deploy_block")}
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(members | {"schema": 1, "currency_symbol": "DEV", "currency_decimals": 6}))
    return str(path)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch):
    """Puts a history behind the command line's RPC and web."""

    def use(history: dict) -> None:
        client = httpx.Client(transport=Served(history).transport())
        monkeypatch.setattr(command, "open_rpc", lambda _url: Rpc("http://127.0.0.1/rpc", client, no_pause))
        monkeypatch.setattr(command, "open_web", lambda *, allows_private: Web(client, allows_private, no_pause))

    return use


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("name", ["verify", "lane", "receipt", "query"])
def test_help__each_command__shows_examples(name: str) -> None:
    done = run(name, "--help")
    assert done.exit_code == 0
    assert "Examples:" in done.stdout


def test_verify__honest__exits_0(network, deployment: str) -> None:
    network(settled().history())
    done = run("verify", "--deployment", deployment, "--allow-private")
    assert done.exit_code == 0, done.output
    assert "nothing is wrong" in done.stdout


def test_verify__fraud__exits_1_and_names_the_code(network, deployment: str) -> None:
    network(load(CASES / "re-priced")[0])
    done = run("verify", "--deployment", deployment, "--allow-private")
    assert done.exit_code == 1
    assert "AUD-045" in done.stdout


def test_verify__json__is_one_object(network, deployment: str) -> None:
    network(load(CASES / "re-priced")[0])
    done = run("verify", "--deployment", deployment, "--allow-private", "--json")
    assert json.loads(done.stdout)["findings_by_code"] == {"AUD-045": 1}


def test_verify__receipts_file__is_held_against_the_tree(network, deployment: str, tmp_path: Path) -> None:
    history = load(CASES / "settled-receipt-hidden")[0]
    network(history)
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in history["held"]))
    done = run("verify", "--deployment", deployment, "--allow-private", "--receipts-file", str(path), "--json")
    assert json.loads(done.stdout)["findings_by_code"] == {"AUD-070": 1}


def test_lane__one_pair__shows_its_settlements(network, deployment: str) -> None:
    network(settled().history())
    done = run("lane", payee("alice"), payee("north"), "--deployment", deployment, "--allow-private")
    assert done.exit_code == 0, done.output
    assert "settlements of" in done.stdout
    as_json = run("lane", payee("alice"), payee("north"), "--deployment", deployment, "--allow-private", "--json")
    assert json.loads(as_json.stdout)["counts"]["receipts"] == 3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--endpoint", "nonsense"], "PAYEE=URL"),
        (["--endpoint", "0x12=http://x"], "40 hex digits"),
        (["--receipts-file", "missing.json"], "cannot read"),
        (["--block", "77777"], "no block"),
    ],
)
def test_verify__wrong_option__exits_2_with_a_sentence(
    network, deployment: str, options: list[str], match: str
) -> None:
    network(settled().history())
    done = run("verify", "--deployment", deployment, "--json", *options)
    assert done.exit_code == 2
    assert match in json.loads(done.stdout)["error"]
    assert "could not audit" in done.stderr


def test_verify__no_deployment_file__exits_2(tmp_path: Path) -> None:
    done = run("verify", "--deployment", str(tmp_path / "none.json"))
    assert done.exit_code == 2
    assert "--deployment" in done.stderr


# ------------------------------------------------------------------------------------------------ receipts offline
def entries() -> list[dict]:
    return settled().lane("alice", "north").entries


def receipt_file(tmp_path: Path, document: object) -> str:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_receipt__honest__exits_0_and_names_the_signer(deployment: str, tmp_path: Path) -> None:
    path = receipt_file(tmp_path, entries()[0])
    done = run("receipt", path, "--deployment", deployment, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["receipts"][0]["signed_by"] == payee("north operator")
    assert run("receipt", path, "--deployment", deployment).exit_code == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": "0x" + "00" * 64 + "1b"}, "AUD-040"),
        ({"voucherSignature": entries()[1]["voucherSignature"]}, "AUD-041"),
        ({"terms": entries()[1]["terms"]}, "AUD-043"),
    ],
)
def test_receipt__bent__exits_1_with_the_code(deployment: str, tmp_path: Path, change: dict, code: str) -> None:
    path = receipt_file(tmp_path, entries()[0] | change)
    done = run("receipt", path, "--deployment", deployment, "--json")
    assert done.exit_code == 1
    assert code in {finding["code"] for finding in json.loads(done.stdout)["receipts"][0]["findings"]}
    assert code in run("receipt", path, "--deployment", deployment).stdout


def test_receipt__of_another_operator__exits_1(deployment: str, tmp_path: Path) -> None:
    path = receipt_file(tmp_path, entries()[0])
    done = run("receipt", path, "--deployment", deployment, "--operator", payee("mallory"), "--json")
    assert done.exit_code == 1


@pytest.mark.parametrize("text", ["{", "[]x", "5", '{"receipts": 5}', '[{"receipt": {}}]', "{}\n{"])
def test_load_held__no_receipts__says_where(tmp_path: Path, text: str) -> None:
    from node.audit.errors import CannotAuditError

    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(CannotAuditError, match=r"mine\.json"):
        load_held(path)


@pytest.mark.parametrize("shape", ["list", "lines", "object", "single"])
def test_load_held__each_shape__is_read(tmp_path: Path, shape: str) -> None:
    rows = entries()
    texts = {
        "list": json.dumps(rows),
        "lines": "\n".join(json.dumps(row) for row in rows) + "\n",
        "object": json.dumps({"receipts": rows}),
        "single": json.dumps(rows[0]),
    }
    path = tmp_path / "mine.json"
    path.write_text(texts[shape])
    assert len(load_held(path)) == (1 if shape == "single" else len(rows))


# ---------------------------------------------------------------------------------------------------------- tables
def shown(show, *arguments: object) -> str:
    screen = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    show(screen, *arguments)
    screen.file.close()
    return screen.export_text()


def test_show_audit__amounts__are_exact_currency() -> None:
    text = shown(show_audit, audit_history(settled().history()))
    assert "0.000132 DEV" in text
    assert "0.1 DEV" in text


def test_show_lane__other_pair__is_left_out() -> None:
    audit = audit_history(settled().history())
    pair = tuple(bytes.fromhex(payee(name)[2:]) for name in ("bob", "north"))
    assert "0.000132" not in shown(show_lane, audit, pair)


def test_show_audit__hostile_text_in_evidence__is_no_markup() -> None:
    audit = audit_history(settled().history())
    audit.report.add("AUD-033", "[bold]x[/nonsense]", url="[/red]")
    assert "[bold]x[/nonsense]" in shown(show_audit, audit)


# ---------------------------------------------------------------------------------------------------------- wallet
def wallet_file(tmp_path: Path, rows: list[dict]) -> Path:
    """A client's wallet by the client's own migration."""
    path = tmp_path / "wallet.db"
    script = Path(__file__).parents[2] / "migrations" / "wallet" / "initial.sqlite.sql"
    lane = {
        name: bytes.fromhex(payee(who)[2:]) for name, who in (("payer", "alice"), ("payee", "north"), ("lane", "alice"))
    }
    with closing(sqlite3.connect(path)) as wallet:
        wallet.executescript(script.read_text())
        for place, row in enumerate(rows):
            common = {**lane, "generation": 1, "request_id": bytes.fromhex(row["receipt"]["requestId"][2:])}
            _insert(wallet, "purchase", {**common, "state": "done", "terms": json.dumps(row["terms"]), "salt": b""})
            texts = {name: row["receipt"][name].zfill(39) for name in ("charge", "cumulative")} | {"credit": "0" * 39}
            message = {"message": json.dumps(row["receipt"]), "signature": bytes.fromhex(row["signature"][2:])}
            _insert(wallet, "receipt", {**common, **texts, **message, "seq": place})
        wallet.commit()
    return path


def _insert(wallet: sqlite3.Connection, table: str, values: dict) -> None:
    """Columns that this test is not about are 0."""
    names = [row[1] for row in wallet.execute(f"PRAGMA table_info({table})")]
    marks = ", ".join("?" * len(names))
    wallet.execute(f"INSERT INTO {table} VALUES ({marks})", [values.get(name, 0) for name in names])


def test_load_held__a_clients_wallet__is_read_whole(tmp_path: Path) -> None:
    rows = entries()
    held = load_held(wallet_file(tmp_path, rows))
    assert [entry.receipt.numbers["cumulative"] for entry in held] == [int(r["receipt"]["cumulative"]) for r in rows]
    assert all(entry.terms is not None and entry.voucher is None for entry in held)


def test_load_held__another_database__says_so(tmp_path: Path) -> None:
    from node.audit.errors import CannotAuditError

    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE x (y)")
    with pytest.raises(CannotAuditError, match="no client's wallet"):
        load_held(path)


def test_verify__wallet_of_an_honest_market__finds_nothing(network, deployment: str, tmp_path: Path) -> None:
    world = settled()
    network(world.history())
    path = wallet_file(tmp_path, world.lane("alice", "north").entries)
    command_line = ("verify", "--deployment", deployment, "--allow-private", "--json", "--receipts")
    done = run(*command_line, "--receipts-file", str(path))
    assert json.loads(done.stdout)["counts"]["held_receipts"] == 3
    assert done.exit_code == 0
