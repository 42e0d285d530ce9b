"""A market of processes with a court: a dispatcher, three executors and judges of different controllers on one chain.

Every step is a command an operator has. The executors' engines are given; so is the reference engine all judges share.
"""

import json
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from node.cli.devmarket.market import ROOT, Provider
from node.cli.devmarket.processes import Child, ProcessFailed
from tests.net.market import NetMarket, NodeWish

BOND_MONEY = 100_000_000
DEPOSIT = 300_000_000
ALLOT = 60_000_000
CAP = 10**12
DISPATCHER = "dispatcher"
ALONE = 'policy = "adaptive"\noffload_margin = 0.0\n'


@dataclass(frozen=True, slots=True)
class CourtTimes:
    """Seconds; the shortest that a loaded machine keeps."""

    epoch: int = 240
    commit: int = 90
    reveal: int = 60
    appeal: int = 10


@dataclass(slots=True)
class CourtMarket(NetMarket):
    """`reference`: the judges' engine. `executors`: name -> engine URL. `rates`: dispatcher -> duels per mille."""

    reference: str = ""
    executors: dict[str, str] = field(default_factory=dict)
    judges: tuple[str, ...] = ()
    times: CourtTimes = CourtTimes()
    policy: str = ALONE
    rates: dict[str, int] = field(default_factory=lambda: {DISPATCHER: 1000})

    def run(self, title: str, script: str, *arguments: object) -> dict[str, Any]:
        """The same commands inside this process: some fifty of them would each load everything anew."""
        said = self._said(title, (0,), script, *arguments)
        self.log.append((title, said))
        return said

    def _said(self, title: str, fine: tuple[int, ...], script: str, *arguments: object) -> dict[str, Any]:
        app = import_module(f"node.cli.{script}").app
        done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
        if done.exit_code not in fine:
            raise ProcessFailed(f"{title}: {script} ended with {done.exit_code}\n{done.output}") from done.exception
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def audit(self) -> dict[str, Any]:
        """The whole audit, without the receipts: findings are no failure to run."""
        reach = ("--deployment", self.deployment, "--rpc", self.chain.url, "--allow-private")
        return self._said("audit", (0, 1), "audit", "verify", *reach)

    def audit_duel(self, duel: str) -> bool:
        """One duel derived again; whether it checks."""
        reach = ("--deployment", self.deployment, "--rpc", self.chain.url)
        return bool(self._said("audit of a duel", (0, 1), "audit", "duel", duel, *reach)["ok"])

    def deploy(self) -> None:
        """A set whose duels are quick."""
        times = self.times
        self.run(
            "deployer",
            *("deploy", "--rpc", self.chain.url, "--dev-account", 0, "--out", self.deployment, "--yes"),
            *("--duel-epoch", times.epoch, "--duel-commit", times.commit, "--duel-reveal", times.reveal),
            *("--duel-appeal", times.appeal, "--draw-delay", 2),
        )

    def provider(self, name: str) -> Provider:
        return next(one for one in self.providers if one.name == name)

    def build(self) -> None:
        """Everybody registered, enrolled, funded; not started yet."""
        self.begin()
        for name in (*self.rates, *self.executors, *self.judges):
            url = self.executors.get(name, "")
            self.add_net_provider(NodeWish(name, slots=8 if url else 0, policy=self.policy, engine_url=url))
        for provider in self.providers:
            self.court(provider, "enroll", "--delegate", provider.operator.address)
        for name in self.rates:
            self._fund_dispatcher(self.provider(name))

    def court(self, provider: Provider, command: str, *arguments: object) -> None:
        """One command of scripts/duels.py by the owner."""
        reach = ("--deployment", self.deployment, "--rpc", self.chain.url)
        self.run(
            f"{command} of {provider.name}",
            *("duels", command, *reach, "--dev-account", provider.account, *arguments, "--yes"),
        )

    def _fund_dispatcher(self, provider: Provider) -> None:
        """It pays for itself (a duel's payer is a member), through its operator key."""
        reach = ("--deployment", self.deployment, "--rpc", self.chain.url)
        self.court(provider, "fund", "--amount", BOND_MONEY, "--mint-dev")
        allots = [part for name in self.executors for part in ("--allot", f"{self.provider(name).owner}={ALLOT}")]
        owner = ("--dev-account", provider.account)
        self.run(
            f"deposit of {provider.name} as payer",
            *("prepay", "deposit", *reach, *owner, "--amount", DEPOSIT, *allots, "--mint-dev", "--yes"),
        )
        key = (
            "--signer-keystore",
            provider.operator.keystore,
            "--signer-password-file",
            provider.operator.password_file,
        )
        self.run(
            f"signer of {provider.name}", *("prepay", "authorize-signer", *reach, *owner, "--cap", CAP, *key, "--yes")
        )

    def launch_provider(self, provider: Provider) -> Child:
        """As in a network, with the settings of duels."""
        name, wish = provider.name, self.wishes[provider.name]
        ports = ", ".join(str(port) for port in self.proxies.values())
        rate = self.rates.get(name)
        config = self.plan.folder / f"{name}.toml"
        config.write_text(
            f'offload_wallet = "{self.plan.folder / name}-offload.db"\n'
            f'policy = "{self.policy_file(name)}"\n'
            f"private_network = true\npeer_ports = [{ports}]\noffload_exposure = {ALLOT}\n"
            f"engine_slots = {max(wish.slots, 1)}\nregistry_seconds = 1.0\n"
            f'duels = true\nduel_seconds = 1.0\njudge_engine = "{self.reference}"\njudge_model = "{self.plan.model}"\n'
            + ("" if rate is None else f'offload_payer = "{provider.owner}"\nduel_rate_per_mille = {rate}\n')
        )
        engine = ("--engine", self.engines[name]) if name in self.engines else ()
        folder: Path = self.plan.folder
        command = [
            *(sys.executable, str(ROOT / "scripts" / "serve.py"), "--config", str(config)),
            *("--deployment", str(self.deployment), "--rpc", self.chain.url, "--payee", provider.owner),
            *("--keystore", str(provider.operator.keystore)),
            *("--password-file", str(provider.operator.password_file)),
            *("--offer", str(folder / f"{name}-offer.json"), "--tokenizer", str(self.plan.tokenizer), *engine),
            *("--database", f"sqlite:///{folder / name}.db", "--port", str(provider.port)),
            *("--poll-seconds", "0.5", "--settle-seconds", "600", "--currency-per-native", "0"),
        ]
        return self.processes.start(name, command)
