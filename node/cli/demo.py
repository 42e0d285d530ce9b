"""`scripts/demo.py`: run the whole market once on this machine and show who paid whom how much for what.

A chain, the contracts, two providers that stake and register, a real vLLM, a client that prepays, an unmodified OpenAI
client that streams a paid answer, settlement on chain, an audit. Leaves nothing running.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.common import fail
from node.cli.devmarket.balances import Balance, Contracts, read_balances
from node.cli.devmarket.builder import EngineWish, build_market
from node.cli.devmarket.market import PRICE_COMPLETION, PRICE_PROMPT, Market
from node.cli.devmarket.processes import Processes, ProcessFailed
from node.cli.devmarket.purchase import Heard, buy_plain, buy_stream, open_client
from node.cli.devmarket.report import Bought, MarketReport, Mined, show_report
from node.cli.devmarket.steps import Steps
from node.core.errors import WwwserveError

SETTLE_SECONDS = 60.0
EXAMPLES = """
Examples:

  make demo

  python scripts/demo.py --engine http://127.0.0.1:8001 --model my-model

  python scripts/demo.py --keep ./demo-run --json
"""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def demo(
    engine: Annotated[str | None, typer.Option(help="An OpenAI-compatible server (no /v1) instead of vLLM.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Its folder with tokenizer.json, chat_template.jinja.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Run in this folder and keep logs, keys and books.")] = None,
    json_out: Annotated[bool, typer.Option("--json", help="The report as JSON on stdout.")] = False,
) -> None:
    """Run the whole market once."""
    started = time.monotonic()
    console = Console(stderr=json_out, highlight=False)
    try:
        with _folder(keep) as folder, Processes(folder) as processes:
            market, report = _run(folder, processes, EngineWish(engine, model, tokenizer), console, started)
            contracts = Contracts.of(json.loads(market.deployment.read_text()))
    except WwwserveError as exc:
        fail(exc, json_out=json_out)
    _finish(report, contracts, console, json_out=json_out)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise ProcessFailed(f"{keep} is not empty: keys are never written over")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="wwwserve-demo-") as folder:
        yield Path(folder)


def _run(
    folder: Path, processes: Processes, wish: EngineWish, console: Console, started: float
) -> tuple[Market, MarketReport]:
    steps = Steps(console)
    market = build_market(folder, processes, wish, steps)
    before = _balances(market)
    heard = _buy(market, steps)
    with steps.step("the providers settle on chain, the chain makes it final"):
        _wait_settled(market, sum(int(one.cost["charge"]) for one in heard))
    with steps.step("the auditor re-checks every balance, signature, price and root"):
        audit = market.audit()
    report = MarketReport(
        bought=[_bought(market, one) for one in heard],
        mined=_mined(market),
        before=before,
        after=_balances(market),
        audit=audit,
        seconds=time.monotonic() - started,
    )
    return market, report


def _buy(market: Market, steps: Steps) -> list[Heard]:
    with open_client(market.client.gateway_url, market.client.api_key) as client:
        with steps.step("the openai package asks for a streamed answer, through the gateway") as said:
            streamed = buy_stream(client, market.plan.model, said)
        with steps.step("... and for a plain one") as said:
            plain = buy_plain(client, market.plan.model)
            said(plain.text)
    return [streamed, plain]


def _wait_settled(market: Market, charged: int) -> None:
    """Until the escrow has paid everything that was charged, in a final block."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while sum(row.amount for row in _balances(market) if row.account.startswith("paid to")) < charged:
        if time.monotonic() > deadline:
            raise ProcessFailed(f"not settled after {SETTLE_SECONDS:g} s:\n{market.provider_logs()}")
        time.sleep(0.2)
    mined_at = market.chain.block_number()
    while market.chain.block_number("finalized") < mined_at:
        if time.monotonic() > deadline:
            raise ProcessFailed("the settlement was mined but did not become final")
        time.sleep(0.1)


def _balances(market: Market) -> list[Balance]:
    contracts = Contracts.of(json.loads(market.deployment.read_text()))
    providers = {provider.name: provider.owner for provider in market.providers}
    return read_balances(market.chain, contracts, market.client.key.address, providers)


def _bought(market: Market, heard: Heard) -> Bought:
    """By the receipt: an engine's own usage counts the end token, the billing count does not."""
    provider, receipt = market.receipt_of(str(heard.cost["request_id"]))
    return Bought(
        what=heard.what,
        provider=provider,
        prompt_tokens=int(receipt["promptTokens"]),
        completion_tokens=int(receipt["completionTokens"]),
        price_prompt=PRICE_PROMPT,
        price_completion=PRICE_COMPLETION,
        charge=int(receipt["charge"]),
        text=heard.text,
    )


def _mined(market: Market) -> list[Mined]:
    rows = [
        Mined(title.removeprefix("registration of "), sent["what"], sent["hash"], int(sent["gas_used"]))
        for title, said in market.log
        for sent in said.get("transactions", ())
    ]
    return rows + [Mined("settling", "claim", tx_hash, gas) for tx_hash, gas in market.settlements()]


def _finish(report: MarketReport, contracts: Contracts, console: Console, *, json_out: bool) -> None:
    if json_out:
        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    show_report(report, contracts, console)
    console.print(
        "\n[bold]Next[/bold]  `make devnet` keeps such a market running and prints a curl line;\n"
        "      docs/provider.md and docs/client.md say how to do it on a real network.",
    )
    if not report.audit.get("ok"):
        console.print("[red]demo: the audit found something[/red]")
        raise typer.Exit(1)
    console.print(f"demo: ok in {report.seconds:.0f} s")


def main() -> None:
    """Entry point."""
    app()
