"""Starting a node wrongly: one clear sentence, exit status 1 or 2, no traceback, nothing left behind. Black box."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli.devmarket.market import ROOT, Market, MarketPlan, Provider
from node.cli.devmarket.processes import Processes, answers_ok, free_port, wait_until
from tests.fakes import tiny_tokenizer

MODEL = "stub"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    tokenizer = tiny_tokenizer.build(folder / "tokenizer")
    port = free_port()
    with Processes(folder) as processes:
        arguments = ["--port", str(port), "--model", MODEL, "--tokenizer", str(tokenizer / "tokenizer.json")]
        template = ["--template", str(tokenizer / "chat_template.jinja")]
        stub = processes.start("engine", [sys.executable, "-m", "tests.fakes.engine_stub", *arguments, *template])
        wait_until(stub, answers_ok(f"http://127.0.0.1:{port}/health"), 60)
        made = Market(MarketPlan(folder, f"http://127.0.0.1:{port}", MODEL, tokenizer), processes)
        made.start_chain()
        made.deploy()
        made.add_provider("provider-1")
        yield made


def start(market: Market, **changes: object) -> subprocess.CompletedProcess[str]:
    """`serve.py` as the market would start it, with some options changed; expected to end by itself."""
    provider = market.providers[0]
    options = {
        "deployment": market.deployment,
        "rpc": market.chain.url,
        "payee": provider.owner,
        "keystore": provider.operator.keystore,
        "password-file": provider.operator.password_file,
        "offer": market.plan.folder / "provider-1-offer.json",
        "tokenizer": market.plan.tokenizer,
        "engine": market.plan.engine_url,
        "database": f"sqlite:///{market.plan.folder}/start.db",
        "port": free_port(),
        **changes,
    }
    command = [sys.executable, str(ROOT / "scripts" / "serve.py")]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    said = " ".join(done.stderr.split())
    assert done.returncode in (1, 2), said
    assert "Traceback" not in said
    assert said.startswith("error:"), said
    for word in words:
        assert word in said


def test_start__chain_unreachable__says_which_endpoint(market: Market) -> None:
    port = free_port()
    assert_refused(start(market, rpc=f"http://127.0.0.1:{port}"), f"127.0.0.1:{port}")


def test_start__deployment_file_of_another_chain__is_refused(market: Market) -> None:
    other = json.loads(market.deployment.read_text()) | {"chain_id": 8453}
    file = market.plan.folder / "other-chain.json"
    file.write_text(json.dumps(other))
    assert_refused(start(market, deployment=file), "chain")


def test_start__deployment_file_of_another_run__is_refused(market: Market) -> None:
    other = json.loads(market.deployment.read_text()) | {"escrow": "0x" + "12" * 20}
    file = market.plan.folder / "other-run.json"
    file.write_text(json.dumps(other))
    assert_refused(start(market, deployment=file), "no Escrow on this chain")


def test_start__no_deployment_file__says_what_to_run(market: Market) -> None:
    assert_refused(start(market, deployment=market.plan.folder / "none.json"), "scripts/deploy.py")


def test_start__wrong_password__names_the_file_not_the_password(market: Market) -> None:
    password = market.plan.folder / "wrong.password"
    password.write_text("not-the-password")
    password.chmod(0o600)
    done = start(market, password_file=password)
    assert_refused(done, "password")
    assert "not-the-password" not in done.stderr


def test_start__password_file_others_can_read__is_refused(market: Market) -> None:
    password = market.plan.folder / "open.password"
    password.write_text("x")
    password.chmod(0o644)
    assert_refused(start(market, password_file=password), "chmod 600")


def test_start__key_file_is_not_a_keystore__is_refused(market: Market) -> None:
    assert_refused(start(market, keystore=market.deployment), "keystore")


def test_start__offer_of_another_payee__is_refused(market: Market) -> None:
    assert_refused(start(market, payee="0x" + "34" * 20), "another payee")


def test_start__port_taken__says_so_and_touches_nothing(market: Market) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        database = market.plan.folder / "untouched.db"
        done = start(market, port=taken.getsockname()[1], database=f"sqlite:///{database}")
    assert_refused(done, "cannot listen on")
    assert not Path(database).exists()


def test_start__second_node_on_the_same_port__is_refused_and_the_first_goes_on(market: Market) -> None:
    provider: Provider = market.providers[0]
    market.start_provider(provider)
    try:
        assert_refused(start(market, port=provider.port), "another node")
        assert answers_ok(f"{provider.url}/readyz")()
    finally:
        market.processes.children[provider.name].stop()


def test_start__unwritable_database__is_refused(market: Market) -> None:
    assert_refused(start(market, database="sqlite:////proc/nowhere/node.db"))


def test_start__no_such_setting__names_it(market: Market) -> None:
    file = market.plan.folder / "node.toml"
    file.write_text("colour = 'blue'\n")
    assert_refused(start(market, config=file), "colour")
