"""`scripts/serve.py`: run a provider's node in front of an inference engine, until SIGTERM or Ctrl-C.

Everything may also stand in a TOML file (--config) or in the environment (WWWSERVE_...); the command line wins.
"""

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from node.api.runtime import tune_collector
from node.api.server import server_config
from node.app import open_node
from node.cli.common import checksummed, fail, notes
from node.core.errors import BadConfig, WwwserveError
from node.settings import Settings, settings_from_process

EXAMPLES = """
Examples:

  python scripts/serve.py --deployment deployment.json --rpc https://rpc.example --payee 0xYOU --keystore operator.json
      --password-file operator.password --offer offer.json --tokenizer ./tokenizer --engine http://127.0.0.1:8001

  python scripts/serve.py --config node.toml --port 8000
"""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)
BACKLOG = 2_048


@app.command(epilog=EXAMPLES)
def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    deployment: Annotated[Path | None, typer.Option(help="The file that scripts/deploy.py wrote.")] = None,
    rpc: Annotated[list[str] | None, typer.Option(help="Ethereum JSON-RPC URL; repeat it for fail-over.")] = None,
    payee: Annotated[str | None, typer.Option(help="Your provider address.")] = None,
    keystore: Annotated[Path | None, typer.Option(help="Keystore of the operator key.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="Its password; a file of mode 0600.")] = None,
    offer: Annotated[Path | None, typer.Option(help="The offer that `register.py offer` wrote.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder with tokenizer.json, chat_template.jinja.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Engine URL without /v1; repeat it for several.")] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy URL, sqlite or postgresql+psycopg.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Requests in service at once.")] = None,
    poll_seconds: Annotated[float | None, typer.Option(help="How often the chain is read.")] = None,
    settle_seconds: Annotated[float | None, typer.Option(help="How often due lanes are settled.")] = None,
    settle_threshold: Annotated[int | None, typer.Option(help="Least unclaimed amount, base units.")] = None,
    currency_per_native: Annotated[int | None, typer.Option(help="Base units that 1e18 wei is worth.")] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = None,
) -> None:
    """Run a provider's node."""
    named = {"config": config, "rpc": rpc, "engine": engine}
    overrides = {name: value for name, value in locals().items() if name not in {*named, "named"}}
    overrides |= {"rpc": tuple(rpc) if rpc else None, "engines": tuple(engine) if engine else None}
    try:
        settings = settings_from_process(overrides, config)
        _start_logging(settings.log_level)
        _run(settings)
    except WwwserveError as exc:
        fail(exc, json_out=False)


def _run(settings: Settings) -> None:
    with _listen(settings) as listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, listening))


def _listen(settings: Settings) -> socket.socket:
    """The port first: a second node on it must fail before it touches books or chain."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as exc:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise BadConfig(f"cannot listen on {where}: {exc.strerror}; is another node running? pass --port") from exc
    return listening


async def _serve(settings: Settings, listening: socket.socket) -> None:
    async with open_node(settings) as node:
        server = uvicorn.Server(server_config(node.api, settings.host, settings.port))
        host, port = listening.getsockname()[:2]
        tune_collector()
        notes.print(f"node of {checksummed(node.base.payee)} at http://{host}:{port}/v1", soft_wrap=True)
        await server.serve(sockets=[listening])


def _loop_factory() -> Any:  # noqa: ANN401 -- uvloop has no stubs everywhere
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 -- absent on Windows

    return uvloop.new_event_loop


def _start_logging(level: str) -> None:
    numeric = logging.getLevelNamesMapping().get(level.upper())
    if numeric is None:
        raise BadConfig(f"log_level {level} is not one of DEBUG, INFO, WARNING, ERROR")
    logging.basicConfig(level=numeric, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("apscheduler", "httpx", "httpcore", "web3"):
        logging.getLogger(chatty).setLevel(max(numeric, logging.WARNING))


def main() -> None:
    """Entry point."""
    app()
