"""The steps of scripts/recover.py: compare books, file and chain; open a new generation; wait until it counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.adapters.chain.evm import EvmChain
from node.adapters.clock import SystemClock
from node.adapters.ledger import Books, HighWater, migrate, open_ledger
from node.adapters.ledger.high_water import path_beside
from node.cli.common import checksummed, confirm, notes, screen, table
from node.cli.session import Session
from node.core.errors import BadConfig, BooksStale, ChainUnavailable
from node.core.folds import PayeeView
from node.core.recovery import INSTRUCTION, Mark, behind_line
from node.core.types import Address
from node.services.watch_chain import ChainWatch

POLL_SECONDS = 0.5
FINAL_SECONDS = 1800.0
"""A chain finalises within a quarter of an hour or is in trouble."""


@dataclass(frozen=True, slots=True)
class Case:
    """One payee's books beside its chain. `watch` brings them up to date with it."""

    books: Books
    watch: ChainWatch
    payee: Address
    seen: Mark | None

    async def view(self) -> PayeeView:
        """The payee's generation as of now."""
        await self.watch.poll()
        return await self.books.chain.load_payee(self.payee)


@dataclass(frozen=True, slots=True)
class Found:
    """`reasons`: why the books cannot be used in this generation; empty when they can."""

    generation: int
    books: Mark
    seen: Mark | None
    reasons: tuple[str, ...]


@asynccontextmanager
async def opened(chain: EvmChain, payee: Address, database: str, keystore: Path) -> AsyncIterator[Case]:
    """The books and the high-water file. A missing SQLite file is not made: a typing error would look like a loss."""
    high_water = HighWater(path_beside(keystore, chain.deployment.domain, payee))
    migrate(database)
    books = open_ledger(database, SystemClock(), "recover")
    books.start()
    try:
        watch = ChainWatch(chain, books.chain, chain.deployment.deploy_block)
        yield Case(books, watch, payee, high_water.seen)
    finally:
        await books.stop()


async def compare(case: Case) -> Found:
    """What somebody else knows and the books do not."""
    view = await case.view()
    if not view.head_generation:
        raise BadConfig(f"{checksummed(case.payee)} has no operator key in the escrow: run register.py first")
    generation, seen = view.head_generation, case.seen
    books = await case.books.recovery.load_mark(generation)
    gaps = await case.books.recovery.load_claimed_ahead(case.payee, generation)
    reasons = [gap.line() for gap in gaps]
    if seen is not None and seen.generation >= generation and books.is_behind(seen):
        reasons.insert(0, behind_line(books, seen))
    return Found(generation, books, seen, tuple(reasons))


async def check(case: Case, *, is_quiet: bool) -> dict[str, Any]:
    """Show it. Raises BooksStale (exit 1) when a new generation is due."""
    found = await compare(case)
    lanes = await case.books.recovery.load_waiting(case.payee, found.generation)
    if not is_quiet:
        _show(found, lanes)
    if found.reasons:
        raise BooksStale(f"{'; '.join(found.reasons)}. What to do: {INSTRUCTION}", generation=found.generation)
    return {
        "is_sound": True,
        "generation": found.generation,
        "receipts": found.books.count,
        "lanes_open": sum(is_open for _, is_open in lanes),
        "lanes_waiting": ["0x" + key.lane.hex() for key, is_open in lanes if not is_open],
    }


def _show(found: Found, lanes: Any) -> None:  # noqa: ANN401 -- rows of (lane key, is open)
    made = table(f"Generation {found.generation}", "what", "receipts", "highest seq")
    made.add_row("the books", str(found.books.count), str(found.books.seq))
    if found.seen is not None:
        made.add_row("the file beside the key", str(found.seen.count), str(found.seen.seq))
    screen.print(made)
    for reason in found.reasons:
        notes.print(f"  [red]behind[/red] {reason}", soft_wrap=True)
    waiting = [key for key, is_open in lanes if not is_open]
    notes.print(f"  {len(lanes) - len(waiting)} lanes open, {len(waiting)} wait for their client's last receipt")


async def bump(case: Case, session: Session, *, is_agreed: bool) -> dict[str, Any]:
    """Freeze, send, wait for finality. Raises CallReverted (too soon), ChainUnavailable (not final yet)."""
    found = await compare(case)
    if not session.is_quiet:
        _show(found, await case.books.recovery.load_waiting(case.payee, found.generation))
    why = "the books are behind" if found.reasons else "the books are NOT behind, nothing forces this"
    question = f"Open generation {found.generation + 1}? Every lane waits for its client's next request ({why})"
    confirm(question, is_agreed=is_agreed)
    await case.books.recovery.freeze_lanes(case.payee)
    await session.escrow("open a new generation", "bumpGeneration", case.payee)
    generation = await _final_generation(case, found.generation)
    session.show_sent()
    if not session.is_quiet:
        notes.print(f"generation {generation} is open and final: the node goes on by itself, or at its next start")
    return {"generation": generation, "was_behind": bool(found.reasons), "transactions": session.sent_json()}


async def _final_generation(case: Case, before: int) -> int:
    """Wait until the new generation counts."""
    try:
        async with asyncio.timeout(FINAL_SECONDS):
            while True:
                generation = (await case.view()).generation
                if generation > before:
                    return generation
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as exc:
        raise ChainUnavailable("the bump is mined but not final yet; `recover.py check` shows when it is") from exc
