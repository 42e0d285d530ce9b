"""The market, step by step: chain, contracts, providers, a client, the gateway. Every step is a command a user has.

Black box on purpose: it runs the scripts in processes of their own and reads their `--json`; what it shows works.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from node.cli.devmarket.processes import (
    NO_CERTIFICATES,
    Child,
    Processes,
    ProcessFailed,
    answers_ok,
    free_port,
    wait_until,
)
from node.cli.devmarket.rpc import DevChain
from node.core.hashing import keccak

ROOT = Path(__file__).resolve().parents[3]
GAS_WEI = 10**19
"""Native coin for each key of the market: far more than a demo's gas."""
STAKE = 1_000_000_000
PREPAID = 5_000_000
"""5 DEV for each provider: some thousand small answers at the demo's prices."""
PRICE_PROMPT, PRICE_COMPLETION = 200_000, 600_000
"""0.20 and 0.60 DEV per million tokens (6 decimals)."""
READY_SECONDS = 600.0
"""Generous: what a restart may take is measured by whoever cares; a busy machine must not end a run."""
SETTLED = "Settled(address,address,address,uint32,uint64,uint128,uint128,uint128,uint128,uint32,bytes32)"
COMMAND_SECONDS = 600.0
"""Generous: a busy machine must not end a run."""


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """What to build. `engine_url` is an OpenAI-compatible server without /v1; `tokenizer` its tokenizer folder."""

    folder: Path
    engine_url: str
    model: str
    tokenizer: Path
    providers: int = 2
    block_seconds: float = 0.5
    settle_seconds: float = 2.0
    context_length: int = 2048
    max_completion: int = 512


@dataclass(frozen=True, slots=True)
class Key:
    """A keystore file, its password file and its address."""

    keystore: Path
    password_file: Path
    address: str


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider of the market: owner account, operator key, node."""

    name: str
    account: int
    owner: str
    operator: Key
    port: int

    @property
    def url(self) -> str:
        """The node's base URL."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Client:
    """One client of the market: a key that pays, and a gateway of its own."""

    key: Key
    port: int
    wallet: Path
    """The client's own receipts: what the providers must still know."""
    api_key_file: Path

    @property
    def gateway_url(self) -> str:
        """What an OpenAI client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def api_key(self) -> str:
        """What an OpenAI client authenticates with; the gateway wrote it when it first started."""
        return self.api_key_file.read_text().strip()


@dataclass(slots=True)
class Market:
    """The running market. Steps are called in order; `log` keeps each command's JSON for the report."""

    plan: MarketPlan
    processes: Processes
    providers: list[Provider] = field(default_factory=list)
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    chain: DevChain = field(default_factory=lambda: DevChain(""))
    clients: list[Client] = field(default_factory=list)
    prepaid_block: int = 0
    """Where the newest prepayment is, or a block later."""

    @property
    def deployment(self) -> Path:
        """The deployment file every command reads."""
        return self.plan.folder / "deployment.json"

    @property
    def client(self) -> Client:
        """The first client: in most markets the only one."""
        if not self.clients:
            raise ProcessFailed("this market has no client yet: prepay first")
        return self.clients[0]

    def run(self, title: str, script: str, *arguments: object) -> dict[str, Any]:
        """Run one command with --json and keep what it says. Raises ProcessFailed with its words."""
        command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, arguments), "--json"]
        done = subprocess.run(  # noqa: S603 -- our own scripts
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, cwd=self.plan.folder
        )
        if done.returncode != 0:
            raise ProcessFailed(f"{title}: {script}.py ended with {done.returncode}\n{done.stderr or done.stdout}")
        said: dict[str, Any] = json.loads(done.stdout)
        self.log.append((title, said))
        return said

    def start_chain(self) -> None:
        """Anvil with a state file that survives a kill."""
        port = free_port()
        self.chain = DevChain(f"http://127.0.0.1:{port}")
        command = [
            str(ROOT / "node_modules" / ".bin" / "anvil"),
            *("--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337", "--silent"),
            *("--block-time", str(self.plan.block_seconds), "--slots-in-an-epoch", "2"),
            *("--state", str(self.plan.folder / "anvil-state.json"), "--state-interval", "1"),
        ]
        child = self.processes.start("anvil", command)
        wait_until(child, self._chain_answers, READY_SECONDS)

    def _chain_answers(self) -> bool:
        try:
            return bool(self.chain.call("eth_chainId"))
        except Exception:  # noqa: BLE001 -- any fault means "not yet"; wait_until bounds it
            return False

    def deploy(self) -> None:
        """Registry, escrow and the development currency."""
        self.run("deployer", "deploy", "--rpc", self.chain.url, "--dev-account", 0, "--out", self.deployment, "--yes")

    def make_key(self, name: str) -> Key:
        """A new key with coin for gas."""
        password = self.plan.folder / f"{name}.password"
        keystore = self.plan.folder / f"{name}.json"
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        said = self.run(f"key {name}", "keys", "new", keystore, "--password-file", password, "--light")
        self.chain.give_coin(said["address"], GAS_WEI)
        return Key(keystore, password, said["address"])

    def add_provider(self, name: str) -> Provider:
        """Operator key, offer, stake, registration."""
        account = len(self.providers) + 1
        provider = Provider(
            name, account, self.chain.accounts()[account], self.make_key(f"{name}-operator"), free_port()
        )
        offer = self.plan.folder / f"{name}-offer.json"
        self.run(
            f"offer of {name}",
            *("register", "offer", "--payee", provider.owner, "--model", self.plan.model),
            *("--tokenizer", self.plan.tokenizer, "--price-prompt", PRICE_PROMPT),
            *("--price-completion", PRICE_COMPLETION, "--context-length", self.plan.context_length),
            *("--max-completion", self.plan.max_completion, "--out", offer),
        )
        self.run(
            f"registration of {name}",
            *("register", "register", "--deployment", self.deployment, "--rpc", self.chain.url),
            *("--dev-account", account, "--operator", provider.operator.address, "--endpoint", provider.url),
            *("--offer", offer, "--stake", STAKE, "--mint-dev", "--allow-private", "--yes"),
        )
        self.providers.append(provider)
        return provider

    def start_provider(self, provider: Provider) -> Child:
        """The node itself, ready to be paid."""
        child = self.launch_provider(provider)
        self.await_provider(provider)
        return child

    def await_provider(self, provider: Provider) -> None:
        """Until it says that it is ready."""
        wait_until(self.processes.children[provider.name], answers_ok(f"{provider.url}/readyz"), READY_SECONDS)

    def launch_provider(self, provider: Provider, *overrides: str, name: str = "") -> Child:
        """Start the node's process; see `await_provider`. `overrides`: further options, which rule; `name`: its own."""
        command = [
            *(sys.executable, str(ROOT / "scripts" / "serve.py")),
            *("--deployment", str(self.deployment), "--rpc", self.chain.url, "--payee", provider.owner),
            *("--keystore", str(provider.operator.keystore)),
            *("--password-file", str(provider.operator.password_file)),
            *("--offer", str(self.plan.folder / f"{provider.name}-offer.json")),
            *("--tokenizer", str(self.plan.tokenizer), "--engine", self.plan.engine_url),
            *("--database", f"sqlite:///{self.plan.folder / provider.name}.db", "--port", str(provider.port)),
            *("--poll-seconds", "0.3", "--settle-seconds", str(self.plan.settle_seconds), "--settle-threshold", "1"),
            *("--currency-per-native", "0", *overrides),
        ]
        return self.processes.start(name or provider.name, command)

    def prepay(self, name: str = "client") -> Client:
        """A client's key, its currency, its deposit and an allotment for each provider."""
        folder = self.plan.folder
        key = self.make_key(name)
        client = Client(key, free_port(), folder / f"{name}-wallet.db", folder / f"{name}.api-key")
        amounts = [argument for p in self.providers for argument in ("--allot", f"{p.owner}={PREPAID}")]
        self.run(
            name,
            *("prepay", "deposit", "--deployment", self.deployment, "--rpc", self.chain.url),
            *("--keystore", key.keystore, "--password-file", key.password_file),
            *("--amount", PREPAID * len(self.providers), *amounts, "--mint-dev", "--yes"),
        )
        self.clients.append(client)
        self.prepaid_block = int(self.chain.call("eth_blockNumber"), 16)
        return client

    def await_cover(self, *urls: str) -> None:
        """Until the nodes (all, unless named) count every prepayment: one that is not final yet buys nothing."""
        for url in urls or [provider.url for provider in self.providers]:
            wait_until(self.processes.children["anvil"], partial(self._counts_prepayments, url), READY_SECONDS)

    def _counts_prepayments(self, url: str) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            said = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False, verify=NO_CERTIFICATES).json()
            return (said["finalised_block"] or 0) >= self.prepaid_block
        return False

    def gateway_name(self, client: Client) -> str:
        """The name of its process."""
        return "gateway" if client is self.client else f"gateway-{self.clients.index(client) + 1}"

    def start_gateway(self, client: Client | None = None, providers: Sequence[Provider] = ()) -> Child:
        """A client's own gateway (the first client's, if none is named), asking these providers in turn (or all)."""
        client = client or self.client
        command: Sequence[str] = [
            *(sys.executable, str(ROOT / "scripts" / "gateway.py")),
            *("--deployment", str(self.deployment), "--rpc", self.chain.url),
            *("--keystore", str(client.key.keystore), "--password-file", str(client.key.password_file)),
            *(argument for p in providers or self.providers for argument in ("--provider", p.url)),
            *("--port", str(client.port), "--wallet", str(client.wallet)),
            *("--api-key-file", str(client.api_key_file), "--trust-tokenizer", str(self.plan.tokenizer)),
            "--allow-private",
        ]
        child = self.processes.start(self.gateway_name(client), command)
        wait_until(child, answers_ok(f"http://127.0.0.1:{client.port}/healthz"), READY_SECONDS)
        return child

    def audit(self) -> dict[str, Any]:
        """What an auditor says who has the deployment file, an RPC endpoint and no key."""
        command = [
            *(sys.executable, str(ROOT / "scripts" / "audit.py"), "verify", "--deployment", str(self.deployment)),
            *("--rpc", self.chain.url, "--allow-private", "--receipts", "--json"),
            *(part for c in self.clients if c.wallet.exists() for part in ("--receipts-file", str(c.wallet))),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603
        if done.returncode not in (0, 1):
            raise ProcessFailed(f"the audit could not run: {done.stderr}")
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def receipt_of(self, request_id: str) -> tuple[str, dict[str, Any]]:
        """(provider, receipt) of a request, by the providers' own public answer: what was billed, and by whom."""
        for provider in self.providers:
            payer = self.client.key.address.lower()
            parameters = {"payer": payer, "lane": payer}
            reply = httpx.get(f"{provider.url}/v1/receipts/{request_id}", params=parameters, trust_env=False)
            if reply.status_code == httpx.codes.OK:
                receipt: dict[str, Any] = reply.json()["receipt"]
                return provider.name, receipt
        raise ProcessFailed(f"no provider shows a receipt for {request_id}")

    def settlements(self) -> list[tuple[str, int]]:
        """(transaction hash, gas used) of every settlement so far."""
        escrow = json.loads(self.deployment.read_text())["escrow"]
        topic = "0x" + keccak(SETTLED.encode()).hex()
        logs = self.chain.call("eth_getLogs", {"address": escrow, "topics": [topic], "fromBlock": "0x0"})
        hashes = dict.fromkeys(entry["transactionHash"] for entry in logs)
        return [(tx, int(self.chain.transaction_receipt(tx)["gasUsed"], 16)) for tx in hashes]

    def provider_logs(self) -> str:
        """The end of each node's log."""
        started = [p.name for p in self.providers if p.name in self.processes.children]
        return "\n".join(f"--- {name}\n{self.processes.children[name].log_tail()}" for name in started)
