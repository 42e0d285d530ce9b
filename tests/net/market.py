"""A market of nodes that offload to each other, as processes; each has an engine (or none) and a proxy before it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.cli.devmarket.market import ROOT, STAKE, Market, Provider
from node.cli.devmarket.processes import Child, answers_ok, free_port, wait_until

ENGINE_SECONDS = 120.0
DEPOSIT = 500_000_000
FLOOR = 20_000_000
PRICES = (200_000, 600_000)


@dataclass(frozen=True, slots=True)
class NodeWish:
    """One node: `slots` of its engine, 0 = no engine. `policy` is its policy file's text."""

    name: str
    slots: int = 2
    behaviour: str = "tokens=16,ttft=0.05,delay=0.02"
    policy: str = "offload_margin = 0.0\n"
    engine_url: str = ""
    """An engine that runs already."""


@dataclass(slots=True)
class NetMarket(Market):
    """`proxies`: name -> the port that peers know; a node without one is known by its own."""

    proxies: dict[str, int] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    wishes: dict[str, NodeWish] = field(default_factory=dict)
    fronts: dict[str, tuple[Path, Path]] = field(default_factory=dict)
    """Key and certificate of nodes that peers reach by TLS, which a process before them ends."""

    def policy_file(self, name: str) -> Path:
        """Written again to change a node's settings while it runs."""
        return self.plan.folder / f"{name}-policy.toml"

    def start_engine(self, wish: NodeWish) -> None:
        """A stub engine of its own."""
        port = free_port()
        command = [
            *(sys.executable, "-m", "tests.fakes.engine_stub", "--port", str(port), "--model", self.plan.model),
            *("--tokenizer", str(self.plan.tokenizer / "tokenizer.json")),
            *("--template", str(self.plan.tokenizer / "chat_template.jinja")),
            *("--max-num-seqs", str(wish.slots), "--behaviour", wish.behaviour),
        ]
        child = self.processes.start(f"{wish.name}-engine", command)
        self.engines[wish.name] = f"http://127.0.0.1:{port}"
        wait_until(child, answers_ok(f"{self.engines[wish.name]}/health"), ENGINE_SECONDS)

    def add_net_provider(self, wish: NodeWish) -> Provider:
        """Engine, keys, offer, stake; its endpoint is its proxy. Its operator key pays for what it offloads."""
        self.wishes[wish.name] = wish
        if wish.engine_url:
            self.engines[wish.name] = wish.engine_url
        elif wish.slots:
            self.start_engine(wish)
        self.policy_file(wish.name).write_text(wish.policy)
        provider = self._keyed(wish.name)
        self._register(provider)
        self.run(
            f"deposit of {wish.name}",
            *("prepay", "deposit", "--deployment", self.deployment, "--rpc", self.chain.url),
            *("--keystore", provider.operator.keystore, "--password-file", provider.operator.password_file),
            *("--amount", DEPOSIT, "--mint-dev", "--yes"),
        )
        self.providers.append(provider)
        return provider

    def _keyed(self, name: str) -> Provider:
        account = len(self.providers) + 1
        return Provider(name, account, self.chain.accounts()[account], self.make_key(f"{name}-operator"), free_port())

    def _write_offer(self, provider: Provider, model: str, prices: tuple[int, int], *more: str) -> Path:
        offer = self.plan.folder / f"{provider.name}-offer.json"
        self.run(
            f"offer of {provider.name}",
            *("register", "offer", "--payee", provider.owner, "--model", model),
            *("--tokenizer", self.plan.tokenizer, "--price-prompt", prices[0], "--price-completion", prices[1]),
            *("--context-length", self.plan.context_length, "--max-completion", self.plan.max_completion),
            *("--out", offer, *more),
        )
        return offer

    def change_offer(self, provider: Provider, prices: tuple[int, int], second_model: str) -> None:
        """Other prices and one model more, while its node runs."""
        self._write_offer(provider, self.plan.model, prices)
        offer = self._write_offer(provider, second_model, prices, "--add")
        self._change(provider, "update-offer", str(offer))

    def add_stake(self, provider: Provider) -> None:
        """As much again, while its node runs."""
        self._change(provider, "add-stake", str(STAKE), "--mint-dev")

    def _change(self, provider: Provider, *command: str) -> None:
        self.run(
            f"{command[0]} of {provider.name}",
            *("register", *command, "--deployment", self.deployment, "--rpc", self.chain.url),
            *("--dev-account", provider.account, "--yes"),
        )

    def _register(self, provider: Provider) -> None:
        offer = self._write_offer(provider, self.plan.model, PRICES)
        scheme = "https://localhost" if provider.name in self.fronts else "http://127.0.0.1"
        endpoint = f"{scheme}:{self._known_port(provider)}"
        self.run(
            f"registration of {provider.name}",
            *("register", "register", "--deployment", self.deployment, "--rpc", self.chain.url),
            *("--dev-account", provider.account, "--operator", provider.operator.address, "--endpoint", endpoint),
            *("--offer", offer, "--stake", STAKE, "--mint-dev", "--allow-private", "--yes"),
        )

    def _known_port(self, provider: Provider) -> int:
        """The one that peers know: its proxy's, or its own."""
        return self.proxies.get(provider.name, provider.port)

    def launch_provider(self, provider: Provider) -> Child:
        """The node with its peers."""
        name, wish = provider.name, self.wishes[provider.name]
        config = self.plan.folder / f"{name}.toml"
        ports = ", ".join(str(self._known_port(one)) for one in self.providers)
        config.write_text(
            f'offload_wallet = "{self.plan.folder / name}-offload.db"\n'
            f'policy = "{self.policy_file(name)}"\n'
            f"private_network = true\npeer_ports = [{ports}]\n"
            f"allot_floor = {FLOOR}\nallot_seconds = 2.0\noffload_exposure = {FLOOR}\n"
            f"engine_slots = {max(wish.slots, 1)}\nregistry_seconds = 1.0\n" + self._front(provider)
        )
        engine = ("--engine", self.engines[name]) if name in self.engines else ()
        command = [
            *(sys.executable, str(ROOT / "scripts" / "serve.py"), "--config", str(config)),
            *("--deployment", str(self.deployment), "--rpc", self.chain.url, "--payee", provider.owner),
            *("--keystore", str(provider.operator.keystore)),
            *("--password-file", str(provider.operator.password_file)),
            *("--offer", str(self.plan.folder / f"{name}-offer.json")),
            *("--tokenizer", str(self.plan.tokenizer), *engine),
            *("--database", f"sqlite:///{self.plan.folder / name}.db", "--port", str(provider.port)),
            *("--poll-seconds", "0.5", "--settle-seconds", str(self.plan.settle_seconds), "--settle-threshold", "1"),
            *("--currency-per-native", "0"),
        ]
        return self.processes.start(name, command)

    def _front(self, provider: Provider) -> str:
        """Starts what ends TLS before a node that has a certificate; the node's setting for it."""
        if provider.name not in self.fronts:
            return ""
        key, certificate = self.fronts[provider.name]
        command = [
            *(sys.executable, "-m", "tests.net.tls_front", "--port", str(self.proxies[provider.name])),
            *("--target", str(provider.port), "--key", str(key), "--certificate", str(certificate)),
        ]
        self.processes.start(f"{provider.name}-tls", command)
        return f'tls_certificate = "{certificate}"\n'

    def begin(self) -> None:
        """A chain with the contracts."""
        self.start_chain()
        self.deploy()

    def open_for(self, clients: Sequence[str], *, is_loyal: bool = False) -> None:
        """All nodes, then a prepaid gateway a client: number i asks provider i first, a loyal one nobody else."""
        for provider in self.providers:
            self.launch_provider(provider)
        for provider in self.providers:
            self.await_provider(provider)
        for number, name in enumerate(clients):
            home, others = self.providers[number : number + 1], self.providers[number + 1 :] + self.providers[:number]
            self.start_gateway(self.prepay(name), home if is_loyal else [*home, *others])
        self.await_cover()
