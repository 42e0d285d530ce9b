"""`scripts/devnet.py`: the same market as the demo, left running until Ctrl-C, with its URLs and a ready curl line.

Everything lives in one folder (default: run/devnet in this checkout, made anew each time) and on loopback.
"""

import shutil
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.common import fail
from node.cli.devmarket.builder import EngineWish, build_market
from node.cli.devmarket.market import ROOT, Market
from node.cli.devmarket.processes import Processes, ProcessFailed
from node.cli.devmarket.steps import Steps
from node.core.errors import BadConfig, WwwserveError

MARK = ".wwwserve-devnet"
"""Only a folder that holds this file is ever emptied."""
LOOK_SECONDS = 1.0
EXAMPLES = """
Examples:

  make devnet

  python scripts/devnet.py --engine http://127.0.0.1:8001 --model my-model
"""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def devnet(
    engine: Annotated[str | None, typer.Option(help="An OpenAI-compatible server (no /v1) instead of vLLM.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Its folder with tokenizer.json, chat_template.jinja.")] = None,
    folder: Annotated[Path, typer.Option(help="Where keys, books and logs go.")] = ROOT / "run" / "devnet",
) -> None:
    """Run a market until Ctrl-C."""
    console = Console(highlight=False)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with Processes(_fresh(folder)) as processes:
            market = build_market(processes.folder, processes, EngineWish(engine, model, tokenizer), Steps(console))
            _show(market, console)
            _wait(processes, stopped)
            console.print("stopping ...")
    except WwwserveError as exc:
        fail(exc, json_out=False)


def _fresh(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise BadConfig(f"{folder} holds something else: name an empty folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder.resolve()


def _wait(processes: Processes, stopped: threading.Event) -> None:
    while not stopped.wait(LOOK_SECONDS):
        for child in processes.children.values():
            if not child.is_running:
                raise ProcessFailed(f"{child.name} ended by itself:\n{child.log_tail()}")


def _show(market: Market, console: Console) -> None:
    rows = {
        "OpenAI base_url": market.client.gateway_url,
        "API key": market.client.api_key,
        "model": market.plan.model,
        **{provider.name: provider.url for provider in market.providers},
        "chain (JSON-RPC)": market.chain.url,
        "deployment file": str(market.deployment),
        "logs, keys, books": str(market.plan.folder),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        console.print(f"  [bold]{name:<{width}}[/bold]  {value}", soft_wrap=True)
    body = f'{{"model": "{market.plan.model}", "messages": [{{"role": "user", "content": "Hello!"}}], "stream": true}}'
    console.print(
        f"\ncurl -N {market.client.gateway_url}/chat/completions -H 'Authorization: Bearer {market.client.api_key}' "
        f"-H 'Content-Type: application/json' -d '{body}'",
        soft_wrap=True,
        markup=False,
    )
    audit = f"python scripts/audit.py verify --deployment {market.deployment} --rpc {market.chain.url} --allow-private"
    console.print(f"\n{audit}\n\nCtrl-C stops everything.", soft_wrap=True)


def main() -> None:
    """Entry point."""
    app()
