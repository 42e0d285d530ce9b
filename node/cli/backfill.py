"""`scripts/backfill.py`: read the chain into a database before a node serves from it. Sends nothing, needs no key.

A node does the same at its start; this shows how far it is, waits for endpoints that fail, and goes on where it (or a
node) stopped: every chunk of blocks is booked with the cursor in one transaction.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.adapters.clock import SystemClock
from node.adapters.ledger import migrate, open_ledger
from node.cli.common import notes, run, screen
from node.cli.options import READING, Common, with_options
from node.cli.session import open_chain
from node.core.errors import ChainUnavailable
from node.core.facts import Cursor
from node.services.watch_chain import ChainWatch, OnProgress

EXAMPLES = """
\b
Examples:
  python scripts/backfill.py --database sqlite:///wwwserve.db --rpc https://a.example --rpc https://b.example
  python scripts/backfill.py --database postgresql://user@host/name --deployment deployment.json --json
"""
PAUSE_SECONDS = 5.0
PATIENCE = 60
"""Failures in a row without a block in between, after which an endpoint is not merely busy (five minutes)."""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)
DatabaseOption = Annotated[str, typer.Option("--database", help="The node's database URL; made when it is not there.")]


@app.command(epilog=EXAMPLES)
@with_options(READING)
def backfill(common: Common, database: DatabaseOption) -> None:
    """Book every block up to the head; run it again after an interruption."""

    async def command() -> dict[str, Any]:
        migrate(database)
        async with open_chain(common.deployment, common.rpc) as chain:
            books = open_ledger(database, SystemClock(), "backfill")
            books.start()
            try:
                before = await books.chain.load_cursor()
                with _bar() as bar:
                    watch = ChainWatch(chain, books.chain, chain.deployment.deploy_block, _progress(bar))
                    after = await fill(watch, asyncio.sleep)
            finally:
                await books.stop()
        return _said(before, after, chain.deployment.deploy_block, is_quiet=common.json_out)

    run(command, json_out=common.json_out)


async def fill(watch: ChainWatch, pause: Callable[[float], Awaitable[None]]) -> Cursor:
    """Poll until the head is booked. Raises ChainUnavailable when no endpoint has answered for long."""
    for _ in range(PATIENCE):
        try:
            return (await watch.poll()).cursor
        except ChainUnavailable as exc:
            reason = exc
            notes.print(f"waiting: {exc.message}", soft_wrap=True, markup=False)
            await pause(PAUSE_SECONDS)
    raise reason


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=notes, transient=True, disable=not sys.stderr.isatty())


def _progress(bar: Progress) -> OnProgress:
    task = bar.add_task("blocks", total=None)
    return lambda done, head: bar.update(task, completed=done, total=head)


def _said(before: Cursor | None, after: Cursor, deploy_block: int, *, is_quiet: bool) -> dict[str, Any]:
    first = before.head.number + 1 if before else deploy_block
    blocks = max(0, after.head.number - first + 1)
    if not is_quiet:
        screen.print(f"{blocks:,} blocks read, from {first:,}; head {after.head.number:,}, final {after.finalised:,}")
    return {"from": first, "head": after.head.number, "finalised": after.finalised, "blocks": blocks}


def main() -> None:
    """Entry point."""
    app()
