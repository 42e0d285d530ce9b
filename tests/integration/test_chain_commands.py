"""deploy, keys, register and prepay as a person runs them: what they do, and one sentence for whatever goes wrong."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from node.cli import deploy, keys, prepay, register
from tests.fakes.tiny_tokenizer import build
from tests.integration.chain_fixtures import Anvil, anvil, running_anvil

__all__ = ["anvil"]
PAYEE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""Unlocked account 1 of every anvil."""
NOBODY = "0x000000000000000000000000000000000000dEaD"
RAW_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ETHER_10 = 10**19


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder with a password and two keys, and a chain to run commands against."""

    folder: Path
    anvil: Anvil

    def run(self, app: Typer, *arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def ok(self, app: Typer, *arguments: object) -> dict[str, Any]:
        result = self.run(app, *arguments, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def refused(self, code: int, words: str, app: Typer, *arguments: object) -> None:
        result = self.run(app, *arguments)
        assert (result.exit_code, "Traceback" in result.output) == (code, False), result.output
        assert result.stderr.startswith("error: ")
        assert words in result.stderr, result.stderr
        said = self.run(app, *arguments, "--json")
        assert said.exit_code == code
        assert words in json.loads(said.stdout)["error"]["message"]

    @property
    def place(self) -> tuple[object, ...]:
        return ("--deployment", self.folder / "deployment.json", "--rpc", self.anvil.url)

    def key(self, name: str) -> tuple[object, ...]:
        return ("--keystore", self.folder / f"{name}.json", "--password-file", self.folder / "password")

    def address(self, name: str) -> str:
        shown = self.ok(keys.app, "show", self.folder / f"{name}.json", "--password-file", self.folder / "password")
        return str(shown["address"])

    def deploy(self) -> dict[str, Any]:
        out = self.folder / "deployment.json"
        return self.ok(deploy.app, "--rpc", self.anvil.url, "--dev-account", 0, "--out", out, "--yes")

    def offer(self, payee: str = PAYEE, **changes: object) -> Path:
        file = self.folder / "offer.json"
        options = {"price-prompt": 200_000, "price-completion": 600_000, "context-length": 2048, "max-completion": 512}
        flat = [word for name, value in {**options, **changes}.items() for word in (f"--{name}", value)]
        tokenizer = build(self.folder / "tokenizer")
        self.ok(register.app, "offer", "--payee", payee, "--model", "m", "--tokenizer", tokenizer, *flat, "--out", file)
        return file

    def registered(self) -> dict[str, Any]:
        return self.ok(register.app, "register", *self.place, "--dev-account", 1, *self.registration())

    def registration(self) -> tuple[object, ...]:
        return (
            *("--operator", self.address("operator"), "--endpoint", "http://127.0.0.1:9", "--offer", self.offer()),
            *("--stake", "1000 DEV", "--mint-dev", "--allow-private", "--yes"),
        )


@pytest.fixture
def shell(tmp_path: Path, anvil: Anvil) -> Shell:
    made = Shell(tmp_path, anvil)
    with os.fdopen(os.open(tmp_path / "password", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write("correct horse\n")
    for name in ("operator", "client"):
        made.ok(keys.app, "new", tmp_path / f"{name}.json", "--password-file", tmp_path / "password", "--light")
    anvil.rpc("anvil_setBalance", made.address("client"), hex(ETHER_10))
    return made


@pytest.fixture
def deployed(shell: Shell) -> Shell:
    shell.deploy()
    return shell


# ------------------------------------------------------------------------------------------------------------- deploy
def test_deploy__new_chain__writes_the_file_and_says_what_it_cost(shell: Shell) -> None:
    said = shell.deploy()
    created = ["create DevCurrency", "create Escrow", "create Registry", "create Duels"]
    assert [sent["what"] for sent in said["transactions"]] == created
    assert said["deployment"] == json.loads((shell.folder / "deployment.json").read_text())
    assert not (shell.folder / "deployment.json.plan").exists()


def test_deploy__run_again__recognises_the_set_and_sends_nothing(deployed: Shell) -> None:
    again = deployed.deploy()
    assert (again["already_deployed"], again["transactions"]) == (True, [])


def test_deploy__dry_run__shows_the_addresses_and_sends_nothing(shell: Shell) -> None:
    out = shell.folder / "deployment.json"
    dry = shell.ok(deploy.app, "--rpc", shell.anvil.url, "--dev-account", 0, "--out", out, "--dry-run")
    assert (dry["dry_run"], out.exists(), shell.anvil.rpc("eth_blockNumber")) == (True, False, "0x0")
    real = shell.deploy()["deployment"]
    assert dry["addresses"]["Escrow"].lower() == real["escrow"]
    assert int(dry["cost_wei"]) > 0


def test_deploy__interrupted_after_the_first_contract__goes_on_where_it_stopped(shell: Shell) -> None:
    whole = shell.deploy()
    plan_like = shell.folder / "deployment.json.plan"
    with running_anvil() as fresh:
        cut = Shell(shell.folder, fresh)
        (shell.folder / "deployment.json").unlink()
        fresh.rpc("evm_setAutomine", False)
        fresh.rpc("evm_setIntervalMining", 0)
        first = shell.anvil.rpc("eth_getTransactionByHash", whole["transactions"][0]["hash"])
        fresh.rpc("evm_setAutomine", True)
        fresh.rpc("eth_sendTransaction", {"from": first["from"], "data": first["input"], "gas": first["gas"]})
        plan_like.write_text(json.dumps(_plan_of(whole, first["from"])))
        said = cut.deploy()
    assert [sent["what"] for sent in said["transactions"]] == ["create Escrow", "create Registry", "create Duels"]
    assert said["deployment"]["escrow"] == whole["deployment"]["escrow"]


def _plan_of(whole: dict[str, Any], sender: str) -> dict[str, Any]:
    day = 86_400
    times = {"thaw": day, "hold": day, "payout_delay": 2 * day, "unbonding": 7 * day, "dispute": day, "appeal": day}
    return {
        "chain_id": 31337,
        "sender": sender,
        "nonce": 0,
        "from_block": 1,
        "currency": None,
        "min_stake": 100_000_000,
        "times": times,
        "duel_windows": {"epoch": day, "commit": 14_400, "reveal": 14_400, "appeal": day // 2, "draw_delay": 4},
        "artifacts_hash": whole["deployment"]["artifacts_hash"],
    }


def test_deploy__development_chain_started_anew__deploys_anew(deployed: Shell) -> None:
    with running_anvil() as fresh:
        said = Shell(deployed.folder, fresh).deploy()
    assert not said["already_deployed"]


def test_deploy__file_of_another_chain__is_refused(deployed: Shell) -> None:
    with running_anvil("--chain-id", "31338") as other:
        arguments = ("--rpc", other.url, *deployed.key("client"), "--out", deployed.folder / "deployment.json")
        deployed.refused(2, "is of chain 31337", deploy.app, *arguments, "--currency", NOBODY, "--yes")


def test_deploy__real_chain__needs_a_currency_an_hours_thaw_and_a_key(shell: Shell) -> None:
    with running_anvil("--chain-id", "31338") as other:
        arguments = ("--rpc", other.url, "--out", shell.folder / "new.json", "--yes")
        shell.refused(2, "--currency", deploy.app, *arguments, *shell.key("client"))
        short = (*arguments, "--currency", NOBODY, "--thaw", 3599)
        shell.refused(2, "under an hour", deploy.app, *short, *shell.key("client"))
        shell.refused(2, "31337 alone", deploy.app, *arguments, "--currency", NOBODY, "--dev-account", 0)
        shell.refused(2, "--keystore", deploy.app, *arguments, "--currency", NOBODY)


def test_deploy__key_without_coin__is_told_the_price(shell: Shell) -> None:
    arguments = ("--rpc", shell.anvil.url, "--out", shell.folder / "new.json", "--yes", *shell.key("operator"))
    shell.refused(2, "the deployment costs about", deploy.app, *arguments)


def test_deploy__keystore_with_coin__works_without_an_unlocked_account(shell: Shell) -> None:
    out = shell.folder / "new.json"
    said = shell.ok(deploy.app, "--rpc", shell.anvil.url, "--out", out, "--yes", *shell.key("client"))
    assert len(said["transactions"]) == 4


def test_deploy__nobody_to_say_yes__sends_nothing(shell: Shell) -> None:
    arguments = ("--rpc", shell.anvil.url, "--dev-account", 0, "--out", shell.folder / "new.json")
    shell.refused(2, "pass --yes", deploy.app, *arguments)
    assert shell.anvil.rpc("eth_blockNumber") == "0x0"


def test_deploy__windows_out_of_order__is_the_contracts_own_refusal(shell: Shell) -> None:
    arguments = ("--rpc", shell.anvil.url, "--dev-account", 0, "--out", shell.folder / "new.json", "--yes")
    result = shell.run(deploy.app, *arguments, "--unbonding", 3600)
    assert result.exit_code == 1
    assert "Registry_WindowsOutOfOrder" in result.stderr


def test_deploy__duels_slower_than_the_registry_waits__is_the_contracts_own_refusal(shell: Shell) -> None:
    arguments = ("--rpc", shell.anvil.url, "--dev-account", 0, "--out", shell.folder / "new.json", "--yes")
    result = shell.run(deploy.app, *arguments, "--duel-commit", 86_400)
    assert result.exit_code == 1
    assert "Duels_WindowsOutOfOrder" in result.stderr


# --------------------------------------------------------------------------------------------------- what all refuse
def test_every_command__chain_unreachable__is_one_sentence(deployed: Shell) -> None:
    place = ("--deployment", deployed.folder / "deployment.json", "--rpc", "http://127.0.0.1:1")
    deployed.refused(1, "the chain is unreachable", register.app, "status", PAYEE, *place)
    deployed.refused(1, "the chain is unreachable", prepay.app, "status", PAYEE, *place)
    out = deployed.folder / "new.json"
    deployed.refused(1, "the chain is unreachable", deploy.app, "--rpc", "http://127.0.0.1:1", "--out", out, "--yes")


def test_every_command__deployment_of_another_chain__names_both(deployed: Shell) -> None:
    with running_anvil("--chain-id", "31338") as other:
        place = ("--deployment", deployed.folder / "deployment.json", "--rpc", other.url)
        deployed.refused(2, "on chain 31338, expected 31337", prepay.app, "status", PAYEE, *place)
        deployed.refused(2, "on chain 31338, expected 31337", register.app, "status", PAYEE, *place)


def test_every_command__contracts_not_on_this_chain__says_so(deployed: Shell) -> None:
    with running_anvil() as empty:
        place = ("--deployment", deployed.folder / "deployment.json", "--rpc", empty.url)
        deployed.refused(2, "there is no Escrow", prepay.app, "status", PAYEE, *place)


def test_every_command__wrong_password__says_so(deployed: Shell) -> None:
    wrong = deployed.folder / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("battery staple")
    key = ("--keystore", deployed.folder / "client.json", "--password-file", wrong)
    deployed.refused(2, "does not open", prepay.app, "withdraw", *deployed.place, *key, "--yes")


def test_every_command__password_file_others_can_read__says_chmod(deployed: Shell) -> None:
    (deployed.folder / "password").chmod(0o644)
    arguments = (*deployed.place, *deployed.key("client"), "--yes")
    deployed.refused(2, "chmod 600", prepay.app, "withdraw", *arguments)


def test_every_command__raw_key_on_the_command_line__is_refused_and_not_repeated(deployed: Shell) -> None:
    key = ("--keystore", RAW_KEY, "--password-file", deployed.folder / "password")
    result = deployed.run(prepay.app, "withdraw", *deployed.place, *key, "--yes")
    assert result.exit_code == 2
    assert "raw private key" in result.stderr
    assert RAW_KEY[2:] not in result.output
    assert RAW_KEY[2:] not in deployed.run(prepay.app, "status", RAW_KEY, *deployed.place).output


def test_every_command__no_deployment_file__says_how_to_get_one(shell: Shell) -> None:
    shell.refused(2, "scripts/deploy.py", prepay.app, "status", PAYEE, *shell.place)


def test_every_command__mistyped_address__is_caught_by_its_checksum(deployed: Shell) -> None:
    deployed.refused(2, "wrong checksum", prepay.app, "status", PAYEE.replace("79C8", "79c8"), *deployed.place)
    deployed.refused(2, "40 hex digits", prepay.app, "status", "0x12", *deployed.place)


@pytest.mark.parametrize("app", [deploy.app, keys.app, register.app, prepay.app])
def test_every_command__help__has_examples(shell: Shell, app: Typer) -> None:
    result = shell.run(app, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.output


# ----------------------------------------------------------------------------------------------------------- register
def test_register__new_provider__stakes_lists_and_names_the_operator(deployed: Shell) -> None:
    said = deployed.registered()
    assert (said["listed"], said["generation"], said["stake"]) == (True, 1, "1000000000")
    assert said["operator"] == deployed.address("operator")
    assert [sent["what"] for sent in said["transactions"]][-2:] == ["register", "name the operator key"]


def test_register__run_again__sends_only_what_differs(deployed: Shell) -> None:
    deployed.registered()
    moved = [word if word != "http://127.0.0.1:9" else "http://127.0.0.1:10" for word in deployed.registration()]
    said = deployed.ok(register.app, "register", *deployed.place, "--dev-account", 1, *moved)
    what = [sent["what"] for sent in said["transactions"]]
    assert what in (["change the endpoint"], ["change the endpoint", "change the offer"])
    assert said["endpoint"] == "http://127.0.0.1:10"


def test_register__what_cannot_work__is_refused_before_anything_is_sent(deployed: Shell) -> None:
    words = list(deployed.registration())
    place = ("register", *deployed.place, "--dev-account", 1)

    def changed(name: str, value: object) -> list[object]:
        return [value if at and words[at - 1] == name else word for at, word in enumerate(words)]

    deployed.refused(2, "the least is 100 DEV", register.app, *place, *changed("--stake", "99 DEV"))
    deployed.refused(2, "must be like https://", register.app, *place, *changed("--endpoint", "ftp://x"))
    private = [word for word in words if word != "--allow-private"]
    deployed.refused(2, "on a public host", register.app, *place, *private)
    poor = [word for word in words if word != "--mint-dev"]
    deployed.refused(2, "send it some first", register.app, *place, *poor)
    deployed.refused(2, "cannot read the offer", register.app, *place, *changed("--offer", deployed.folder / "none"))
    other = ("register", *deployed.place, "--dev-account", 2, *words)
    deployed.refused(2, "the offer's payee is", register.app, *other)
    assert deployed.ok(register.app, "status", PAYEE, *deployed.place)["listed"] is False


def test_register__change_and_leave__each_has_its_command(deployed: Shell) -> None:
    deployed.registered()
    sender = (*deployed.place, "--dev-account", 1, "--yes")
    assert deployed.ok(register.app, "add-stake", "5 DEV", *sender, "--mint-dev")["stake"] == "1005000000"
    assert deployed.ok(register.app, "unstake", "5000000", *sender)["unbonding"] == "5000000"
    assert deployed.ok(register.app, "set-operator", NOBODY, *sender)["generation"] == 2
    endpoint = deployed.ok(register.app, "set-endpoint", "https://llm.example/", *sender)["endpoint"]
    assert endpoint == "https://llm.example"
    new_offer = deployed.offer(**{"price-prompt": 1})
    before = deployed.ok(register.app, "status", PAYEE, *deployed.place)["offer_hash"]
    assert deployed.ok(register.app, "update-offer", new_offer, *sender)["offer_hash"] != before
    deployed.refused(1, "Registry_StillUnbonding", register.app, "withdraw", *sender)
    assert deployed.ok(register.app, "leave", *sender)["listed"] is False
    deployed.anvil.rpc("evm_increaseTime", 8 * 86_400)
    deployed.anvil.mine()
    assert deployed.ok(register.app, "withdraw", *sender)["wallet"] == "1005000000"
    deployed.refused(1, "Escrow_NothingReleased", register.app, "collect", *sender)


def test_register__value_missing__says_which(deployed: Shell) -> None:
    sender = (*deployed.place, "--dev-account", 1, "--yes")
    deployed.refused(2, "an amount", register.app, "add-stake", *sender)


def test_offer__a_second_model__is_added_to_the_first(shell: Shell) -> None:
    file = shell.offer()
    tokenizer = shell.folder / "tokenizer"
    options = ("--price-prompt", 1, "--price-completion", 1, "--context-length", 10, "--max-completion", 10)
    said = shell.ok(
        *(register.app, "offer", "--payee", PAYEE, "--model", "n", "--tokenizer", tokenizer),
        *(*options, "--out", file, "--add"),
    )
    assert said["models"] == ["m", "n"]
    shell.refused(
        *(2, "another payee's", register.app, "offer", "--payee", NOBODY, "--model", "n", "--tokenizer", tokenizer),
        *(*options, "--out", file, "--add"),
    )


def test_offer__no_tokenizer_there__says_so(shell: Shell) -> None:
    options = ("--price-prompt", 1, "--price-completion", 1, "--context-length", 10, "--max-completion", 10)
    words = ("offer", "--payee", PAYEE, "--model", "n", "--tokenizer", shell.folder, *options)
    shell.refused(2, "cannot read", register.app, *words)


# ------------------------------------------------------------------------------------------------------------- prepay
def deposit(shell: Shell, *arguments: object) -> tuple[object, ...]:
    return ("deposit", *shell.place, *shell.key("client"), *arguments, "--yes")


def test_prepay__deposit_and_allot__in_one_command_with_every_balance(deployed: Shell) -> None:
    deployed.registered()
    words = deposit(deployed, "--amount", "5 DEV", "--allot", f"{PAYEE}=4000000", "--mint-dev")
    said = deployed.ok(prepay.app, *words)
    assert (said["free"], said["pairs"][0]["cover_left"]) == ("1000000", "4000000")
    assert [sent["what"] for sent in said["transactions"]][-2:] == ["deposit", "allot"]
    more = deployed.ok(prepay.app, *deposit(deployed, "--amount", 0, "--allot", f"{PAYEE}=1000000"))
    assert (more["free"], more["pairs"][0]["allotted"]) == ("0", "5000000")


def test_prepay__exit_alone__thaw_wait_withdraw(deployed: Shell) -> None:
    deployed.registered()
    words = deposit(deployed, "--amount", 5_000_000, "--allot", f"{PAYEE}=5000000", "--mint-dev")
    deployed.ok(prepay.app, *words)
    sender = (*deployed.place, *deployed.key("client"), "--yes")
    assert deployed.ok(prepay.app, "thaw", PAYEE, *sender)["pairs"][0]["thawing"] == "5000000"
    deployed.refused(2, "nothing is free yet", prepay.app, "withdraw", *sender)
    deployed.anvil.rpc("evm_increaseTime", 86_401)
    deployed.anvil.mine()
    said = deployed.ok(prepay.app, "withdraw", *sender)
    assert (said["wallet"], said["free"], said["pairs"][0]["allotted"]) == ("5000000", "0", "0")
    deployed.refused(2, "nothing is left", prepay.app, "thaw", PAYEE, *sender)
    deployed.refused(2, "nothing thaws", prepay.app, "withdraw", *sender)


def test_prepay__what_cannot_work__is_refused_before_anything_is_sent(deployed: Shell) -> None:
    deployed.registered()
    cases: list[tuple[str, tuple[object, ...]]] = [
        ("send it some first", ("--amount", 5)),
        ("more than is free", ("--amount", 5, "--allot", f"{PAYEE}=6", "--mint-dev")),
        ("is no provider yet", ("--amount", 5, "--allot", f"{NOBODY}=5", "--mint-dev")),
        ("PAYEE=AMOUNT", ("--amount", 5, "--allot", PAYEE)),
        ("is 0", ("--amount", 5, "--allot", f"{PAYEE}=0", "--mint-dev")),
        ("nothing to do", ("--amount", 0)),
        ("base units", ("--amount", "five")),
        ("have no decimals", ("--amount", "5.5")),
        ("6 decimals", ("--amount", "5.1234567 DEV")),
        ("base units", ("--amount", "5 USDC")),
        ("2^128", ("--amount", str(2**128))),
    ]
    for words, arguments in cases:
        deployed.refused(2, words, prepay.app, *deposit(deployed, *arguments))
    assert deployed.ok(prepay.app, "status", deployed.address("client"), *deployed.place)["pairs"] == []


def test_prepay__no_coin_for_gas__says_who_needs_some(deployed: Shell) -> None:
    deployed.anvil.rpc("anvil_setBalance", deployed.address("client"), "0x0")
    words = deposit(deployed, "--amount", 5, "--mint-dev")
    deployed.refused(1, "too little native coin", prepay.app, *words)


def test_prepay__any_payee__allots_to_an_address_without_operator(deployed: Shell) -> None:
    words = deposit(deployed, "--amount", 5, "--allot", f"{NOBODY}=5", "--mint-dev", "--any-payee")
    assert deployed.ok(prepay.app, *words)["pairs"][0]["allotted"] == "5"


def test_prepay__further_signer__lives_and_ends_by_commands(deployed: Shell) -> None:
    signer = (
        "--signer-keystore",
        deployed.folder / "operator.json",
        "--signer-password-file",
        deployed.folder / "password",
    )
    sender = (*deployed.place, *deployed.key("client"), "--yes")
    deployed.ok(prepay.app, "authorize-signer", "--cap", "1 DEV", *signer, *sender)
    again = ("authorize-signer", "--cap", "1 DEV", *signer, *sender)
    deployed.refused(1, "Escrow_SignerTaken", prepay.app, *again)
    address = deployed.address("operator")
    deployed.refused(1, "Escrow_SignerNotThawed", prepay.app, "revoke-signer", address, *sender)
    deployed.ok(prepay.app, "thaw-signer", address, *sender)
    deployed.anvil.rpc("evm_increaseTime", 86_401)
    deployed.anvil.mine()
    deployed.ok(prepay.app, "revoke-signer", address, *sender)


def test_prepay__human_output__is_tables_with_exact_amounts(deployed: Shell) -> None:
    deployed.registered()
    words = deposit(deployed, "--amount", "5.000001 DEV", "--allot", f"{PAYEE}=5000000", "--mint-dev")
    result = deployed.run(prepay.app, *words)
    assert result.exit_code == 0, result.output
    assert "5.000001 DEV" in result.stdout
    assert "0.000001 DEV" in result.stdout
    assert "Transactions" in result.stdout
