"""`scripts/engine.py`: run the CPU build of vLLM with the small model (or any model folder), until Ctrl-C.

Installs them with scripts/setup_engine.py if need be; restarts the engine when it dies; leaves no process behind.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from node.adapters.engine.command import EngineSpec
from node.adapters.engine.supervisor import EngineSupervisor
from node.cli.common import fail, screen
from node.core.errors import BadConfig, WwwserveError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = """
Examples:

  python scripts/engine.py --port 8001

  python scripts/engine.py --model noise0.1 --port 8002
"""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)


def installed(model: str) -> dict[str, Any]:
    """Paths of the engine and one of the models, installed now if they are not there; progress goes to stderr.

    Raises BadConfig when they cannot be had.
    """
    command = [sys.executable, str(ROOT / "scripts" / "setup_engine.py"), "--models", model, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 -- our own script
    said: dict[str, Any] = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    if not said.get("ready"):
        raise BadConfig(f"vLLM or the model {model} could not be installed; --engine URL uses a server of your own")
    return said


def spec_of(model: str, port: int, max_running: int) -> EngineSpec:
    """What to start."""
    paths = installed(model)
    found = paths["models"][model]
    return EngineSpec(
        vllm=Path(paths["engine"]["vllm"]),
        model=Path(found["path"]),
        served_name=found["served_name"],
        port=port,
        max_running=max_running,
        cache=Path(paths["engine"]["cache"]),
    )


@app.command(epilog=EXAMPLES)
def run(
    model: Annotated[str, typer.Option(help="A model that setup_engine.py made.")] = "base",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 8001,
    max_running: Annotated[int, typer.Option(min=1, help="Sequences in the batch at once.")] = 8,
) -> None:
    """Run one engine on loopback."""
    try:
        asyncio.run(_run(spec_of(model, port, max_running)))
    except WwwserveError as exc:
        fail(exc, json_out=False)


async def _run(spec: EngineSpec) -> None:
    running = asyncio.create_task(_serve(spec))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _serve(spec: EngineSpec) -> None:
    async with EngineSupervisor(spec, os.environ) as engine:
        screen.print(f"{spec.served_name} at {engine.base_url}/v1", soft_wrap=True)
        await asyncio.Event().wait()


def main() -> None:
    """Entry point."""
    app()
