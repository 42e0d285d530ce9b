"""scripts/gateway.py from its command line: what a person sees when something is wrong, and the owner's commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from node.adapters.keys import Secret, create_keystore
from node.cli.gateway import app
from node.client.books import Books
from node.client.store import Wallet, open_engine
from node.client.verify import Problem
from node.core.types import Seconds
from node.core.wire import hex_of
from tests.fakes.payers import make_engine
from tests.integration.chain_fixtures import Market, anvil, market
from tests.unit.test_client_wallet import KEY

__all__ = ["anvil", "market"]
ROOT = Path(__file__).parent.parent.parent
HASHES = ("0x" + "11" * 32, "0x" + "22" * 32)


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_trust__two_hashes__are_kept(tmp_path):
    done = invoke("trust", "m", *HASHES, "--pins", tmp_path / "pins.json", "--json")
    assert done.exit_code == 0
    assert json.loads((tmp_path / "pins.json").read_text()) == {"m": [{"tokenizer": HASHES[0], "template": HASHES[1]}]}


def test_trust__not_a_hash__exit_2_and_one_sentence(tmp_path):
    done = invoke("trust", "m", "0x12", HASHES[1], "--pins", tmp_path / "pins.json")
    assert done.exit_code == 2
    assert "64 hex digits" in done.stderr
    assert "Traceback" not in done.output


def test_status_and_resume__stopped_payee__is_shown_and_paid_again(tmp_path):
    engine = make_engine(tmp_path)
    Wallet(engine).run(lambda b: b.hear(KEY, 5, Seconds(1)))
    Wallet(engine).run(lambda b: b.stop(KEY, Problem("overcharge", "too much"), {}, Seconds(1)))
    engine.dispose()
    wallet = tmp_path / "wallet.db"
    said = json.loads(invoke("status", "--wallet", wallet, "--json").stdout)
    assert (said["lanes"][0]["stopped"], said["findings"][0]["code"]) == ("overcharge", "overcharge")
    assert "overcharge" in invoke("status", "--wallet", wallet).stdout
    assert invoke("resume", hex_of(KEY.payee), "--wallet", wallet).exit_code == 0
    engine = open_engine(wallet)
    assert not Wallet(engine).run(lambda b: Books.load_purse(b, KEY)).stopped
    engine.dispose()


def test_status__no_wallet__is_a_clear_error(tmp_path):
    done = invoke("status", "--wallet", tmp_path / "none.db")
    assert (done.exit_code, "no wallet at" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", [(), ("trust",), ("status",), ("resume",)])
def test_help__every_command__has_examples(command):
    done = invoke(*command, "--help")
    assert done.exit_code == 0
    assert "python scripts/gateway.py" in done.stdout


class Desk:
    """The files a gateway needs."""

    def __init__(self, folder: Path, market: Market) -> None:
        self.folder, self.market = folder, market
        self.password = folder / "password"
        self.password.touch(mode=0o600)
        self.password.write_text("pass")
        create_keystore(folder / "me.json", Secret(b"pass"), 2)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def command(self, **changes: object) -> list[str]:
        options = {
            "deployment": self.market.file,
            "rpc": self.market.anvil.url,
            "keystore": self.folder / "me.json",
            "password-file": self.password,
            "provider": "http://127.0.0.1:9",
            "port": self.port,
            "wallet": self.folder / "wallet.db",
            "pins": self.folder / "pins.json",
            "api-key-file": self.folder / "api-key",
            **changes,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [sys.executable, str(ROOT / "scripts" / "gateway.py"), "--allow-private", *words]

    def fails(self, **changes: object) -> str:
        done = subprocess.run(self.command(**changes), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (1, 2), done.stderr
        assert "Traceback" not in done.stderr
        return " ".join(done.stderr.split())


@pytest.fixture
def desk(tmp_path: Path, market: Market) -> Desk:
    return Desk(tmp_path, market)


def test_start__then_sigterm__answers_and_ends_cleanly(desk):
    process = subprocess.Popen(desk.command(), stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    try:
        said = process.stderr.readline() + process.stderr.readline()
        key = (desk.folder / "api-key").read_text().strip()
        assert key in said
        base = f"http://127.0.0.1:{desk.port}"
        assert httpx.get(f"{base}/healthz", trust_env=False).json() == {"status": "ok"}
        models = httpx.get(f"{base}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False).json()
        assert "http://127.0.0.1:9" in models["failures"]
        assert "cannot listen" in desk.fails()  # a second one on the same port
    finally:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert time.monotonic() - started < 10


def test_start__chain_unreachable__is_a_clear_error(desk):
    assert "no RPC endpoint answers" in desk.fails(rpc="http://127.0.0.1:9")


def test_start__deployment_of_another_chain__is_a_clear_error(desk, tmp_path):
    document = json.loads(desk.market.file.read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**document, "chain_id": 1}))
    assert "on chain 31337, the deployment file on 1" in desk.fails(deployment=other)


def test_start__wrong_password__is_a_clear_error(desk):
    desk.password.write_text("other")
    assert "does not open" in desk.fails()


def test_start__wallet_that_is_no_wallet__is_a_clear_error(desk):
    (desk.folder / "wallet.db").write_text("no database at all, but long enough to be looked at as one" * 20)
    assert "is not a wallet" in desk.fails()


def test_start__amount_nobody_understands__is_a_clear_error(desk):
    assert "--exposure" in desk.fails(exposure="a lot")
