"""A market of real processes with the stub engine, for the recovery tests: one provider, one gateway, paid requests."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from node.cli.devmarket.market import Market, MarketPlan, Provider
from node.cli.devmarket.processes import Processes, answers_ok, free_port, wait_until
from tests.fakes import tiny_tokenizer

MODEL = "stub"


@contextmanager
def running_market(folder: Path, *, providers: int = 1, settle_seconds: float = 1.0) -> Iterator[Market]:
    """Up to the providers' registration: nodes and gateway are the test's to start."""
    with Processes(folder) as processes:
        tokenizer = folder / "tokenizer"
        tiny_tokenizer.build(tokenizer)
        port = free_port()
        command = [
            *(sys.executable, "-m", "tests.fakes.engine_stub", "--port", str(port), "--model", MODEL),
            *("--tokenizer", str(tokenizer / "tokenizer.json")),
            *("--template", str(tokenizer / "chat_template.jinja")),
        ]
        stub = processes.start("engine", command)
        plan = MarketPlan(folder, f"http://127.0.0.1:{port}", MODEL, tokenizer, settle_seconds=settle_seconds)
        market = Market(plan, processes)
        market.start_chain()
        market.deploy()
        for number in range(providers):
            market.add_provider(f"provider-{number + 1}")
        wait_until(stub, answers_ok(f"http://127.0.0.1:{port}/health"), 30)
        yield market


def ask(market: Market, words: str) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": words}], "max_tokens": 8}
    headers = {"authorization": f"Bearer {market.client.api_key}"}
    url = f"{market.client.gateway_url}/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False)


def buy(market: Market, words: str) -> dict[str, Any]:
    reply = ask(market, words)
    assert reply.status_code == 200, reply.text
    cost: dict[str, Any] = reply.json()["usage"]["cost"]
    return cost


def database_of(market: Market, provider: Provider) -> Path:
    return market.plan.folder / f"{provider.name}.db"


def copy_database(source: Path, target: Path) -> None:
    """A backup as SQLite makes it, write-ahead log included."""
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as after:
        before.backup(after)


def put_back(backup: Path, database: Path) -> None:
    """The old copy in the place of the present database."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    copy_database(backup, database)


def ready(provider: Provider) -> dict[str, Any]:
    report: dict[str, Any] = httpx.get(f"{provider.url}/readyz", timeout=10, trust_env=False).json()
    return report
