"""Build a market up to the point where a client can buy: the common part of demo and devnet."""

import sys
from dataclasses import dataclass
from pathlib import Path

from node.cli.devmarket.market import ROOT, Market, MarketPlan
from node.cli.devmarket.processes import Child, Processes, answers_ok, free_port, wait_until
from node.cli.devmarket.steps import Steps
from node.cli.engine import installed
from node.core.errors import BadConfig

ENGINE_SECONDS = 420.0
"""vLLM imports for half a minute on two idle cores, and for minutes on busy ones."""


@dataclass(frozen=True, slots=True)
class EngineWish:
    """An engine of the user's own, or all None for the small model on the CPU build of vLLM."""

    url: str | None
    model: str | None
    tokenizer: Path | None


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Where the engine is, and the child to wait for if it is ours."""

    url: str
    model: str
    tokenizer: Path
    child: Child | None


def start_engine(processes: Processes, wish: EngineWish) -> EngineChoice:
    """Start our own engine, or take the user's; does not wait."""
    if wish.url is None:
        found = installed("base")["models"]["base"]
        port = free_port()
        command = [sys.executable, str(ROOT / "scripts" / "engine.py"), "--port", str(port)]
        child = processes.start("engine", command)
        return EngineChoice(f"http://127.0.0.1:{port}", found["served_name"], Path(found["path"]), child)
    if wish.model is None:
        raise BadConfig("--engine needs --model NAME, the model's name on that server")
    return EngineChoice(wish.url.rstrip("/").removesuffix("/v1"), wish.model, _tokenizer_of(wish), None)


def _tokenizer_of(wish: EngineWish) -> Path:
    """The billing count of a foreign engine: its own tokenizer if given, else the small model's."""
    return wish.tokenizer.resolve() if wish.tokenizer else Path(installed("base")["models"]["base"]["path"])


def build_market(folder: Path, processes: Processes, wish: EngineWish, steps: Steps) -> Market:
    """Everything up to a ready gateway."""
    engine = start_engine(processes, wish)
    market = Market(MarketPlan(folder, engine.url, engine.model, engine.tokenizer), processes)
    with steps.step("a chain of its own starts (anvil), and the contracts are deployed"):
        market.start_chain()
        market.deploy()
    for name in ("provider-1", "provider-2"):
        with steps.step(f"{name} makes its keys and its offer, stakes, registers"):
            market.add_provider(name)
    with steps.step("a client deposits, and allots 5 DEV to each provider"):
        market.prepay()
    if engine.child is not None:
        with steps.step("vLLM loads SmolLM2-135M on the CPU"):
            wait_until(engine.child, answers_ok(f"{engine.url}/health"), ENGINE_SECONDS)
    with steps.step("both nodes open, and the client's gateway"):
        for provider in market.providers:
            market.launch_provider(provider)
        for provider in market.providers:
            market.await_provider(provider)
        market.start_gateway()
        market.await_cover()
    return market
