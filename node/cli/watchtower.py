"""`scripts/watchtower.py`: keep a provider's newest claims, and claim for it when a payer thaws while its node is down.

Run it on another machine than the node. Its key pays gas and can do nothing else: the money goes to the provider's own
earnings. It never sees a prompt or an answer.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from node.adapters.chain.evm import connect
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.adapters.keys import LocalSigner, recover
from node.adapters.ledger import migrate, open_ledger
from node.adapters.ledger.tower_book import SqlTowerBook
from node.api.server import server_config
from node.api.tower import create_tower_app
from node.cli.common import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    DeploymentOption,
    KeystoreOption,
    PasswordFileOption,
    RpcOption,
    checksummed,
    fail,
    notes,
    parse_address,
)
from node.cli.session import KeyOptions, load_signer
from node.core.errors import WwwserveError
from node.core.fees import FeePolicy
from node.core.types import Address
from node.deployment import load_deployment
from node.jobs.schedule import Job, build_scheduler
from node.services.sender import Sender
from node.services.watch_chain import ChainWatch
from node.services.watchtower import Watchtower

GWEI = 10**9
EXAMPLES = """
\b
Examples:
  python scripts/watchtower.py --payee 0xPROVIDER --keystore gas.json --password-file gas.password --port 8100
  python scripts/serve.py --config node.toml        # with: towers = ["https://tower.example"]
"""
app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class TowerOptions:
    """What the command line said."""

    deployment: Path
    rpc: tuple[str, ...]
    database: str
    payees: frozenset[Address]
    poll_seconds: float
    max_fee_gwei: int


@app.command(epilog=EXAMPLES)
def watchtower(
    payee: Annotated[list[str], typer.Option(help="A provider to watch over; repeat it for several.")],
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    database: Annotated[str, typer.Option(help="Its own SQLite or PostgreSQL database.")] = "sqlite:///watchtower.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8100,
    poll_seconds: Annotated[float, typer.Option(min=0.1, help="How often the chain is read.")] = 12.0,
    max_fee_gwei: Annotated[int, typer.Option(min=1, help="The most a unit of gas may cost.")] = 200,
) -> None:
    """Watch over providers."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    try:
        signer = load_signer(KeyOptions(keystore, password_file, None, None))
        payees = frozenset(parse_address(text, "--payee") for text in payee)
        options = TowerOptions(deployment, tuple(rpc), database, payees, poll_seconds, max_fee_gwei)
        asyncio.run(_serve(options, signer, host, port))
    except WwwserveError as exc:
        fail(exc, json_out=False)


async def _serve(options: TowerOptions, signer: LocalSigner, host: str, port: int) -> None:
    async with open_tower(options, signer) as tower:
        await tower.run()
        scheduler = build_scheduler([Job("watch", options.poll_seconds, tower.run)], lambda _name, _outcome: None)
        scheduler.start()
        for payee in options.payees:
            notes.print(f"watching over {checksummed(payee)} at http://{host}:{port}", soft_wrap=True)
        try:
            await uvicorn.Server(server_config(create_tower_app(tower), host, port)).serve()
        finally:
            scheduler.shutdown(wait=False)


@asynccontextmanager
async def open_tower(options: TowerOptions, signer: LocalSigner) -> AsyncIterator[Watchtower]:
    """Chain, books and sender of one tower. Raises BadConfig, Unavailable."""
    clock, deployment = SystemClock(), load_deployment(options.deployment)
    chain = connect(deployment, options.rpc, clock.monotonic)
    migrate(options.database)
    books = open_ledger(options.database, clock, "watchtower")
    books.start()
    book = SqlTowerBook(books.store)
    try:
        await Views(chain, await chain.fetch_head()).check_set()
        await book.prepare()
        yield Watchtower(
            chain=chain,
            book=book,
            chain_book=books.chain,
            watch=ChainWatch(chain, books.chain, deployment.deploy_block),
            outbox=books.outbox,
            sender=Sender(chain, books.outbox, signer, clock, FeePolicy(cap=options.max_fee_gwei * GWEI)),
            domain=deployment.domain,
            recover=recover,
            payees=options.payees,
            thaw_seconds=deployment.thaw_seconds,
        )
    finally:
        await books.stop()
        await chain.close()


def main() -> None:
    """Entry point."""
    app()
