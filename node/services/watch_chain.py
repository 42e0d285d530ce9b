"""Follow the chain: blocks and our events into the books, one transaction a step, cursor included.

A fork is undone by hash, never below the finalised block. An event that cannot be booked stops the cursor: a fact is
never skipped. Nothing is rolled back before its replacement has been read. What the endpoints do not agree on never
gets here (the adapter's part).
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.core.errors import Broken, ChainUnavailable
from node.core.facts import Block, ChainBatch, ChainEvent, Cursor
from node.core.types import Seconds
from node.ports.chain import Chain, ChainBook

CHUNK_BLOCKS = 2_000
"""Finalised blocks whose events are read in one call; most endpoints allow this many."""
HEAD_BLOCKS = 256
"""Blocks booked in one step near the head, each read by its hash and checked by itself; a longer gap is a backfill."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Followed:
    """What one poll brought: the cursor, how many blocks were undone, for how long the books had stood still."""

    cursor: Cursor
    rolled_back: int
    gap_seconds: Seconds


@dataclass(frozen=True, slots=True)
class Target:
    """How far this poll reads."""

    head: Block
    finalised: int


class ChainWatch:
    """One follower of one deployment; several processes may run one each on the same books (booking is idempotent)."""

    def __init__(self, chain: Chain, book: ChainBook, deploy_block: int, on_progress: OnProgress | None = None) -> None:
        self._chain = chain
        self._book = book
        self._anchor = max(deploy_block - 1, 0)  # the parent of the first block that matters: what a fork goes back to
        self._on_progress = on_progress

    async def poll(self) -> Followed:
        """Book everything up to the head as it is now.

        Raises ChainUnavailable (try again later; what was read so far is booked) or Broken (an operator must look).
        """
        target = await self._target()
        before = await self._book.load_cursor()
        rolled_back = 0
        if before is not None:
            rolled_back = await self._undo_fork(before, target)
        cursor = await self._advance(target)
        gap = cursor.head.timestamp - before.head.timestamp if before else 0
        return Followed(cursor, rolled_back, Seconds(max(gap, 0)))

    async def _target(self) -> Target:
        head = await self._chain.fetch_head()
        finalised = await self._chain.fetch_finalised()
        return Target(head, min(finalised.number, head.number))

    async def _undo_fork(self, cursor: Cursor, target: Target) -> int:
        """Blocks undone. A head that is merely lower undoes nothing: the endpoint may lag (threat I3)."""
        top = min(cursor.head.number, target.head.number)
        if target.head.number < cursor.finalised:
            raise ChainUnavailable("the chain's head is below a block that was final", head=target.head.number)
        ancestor = top
        while True:
            booked = await self._book.load_block(ancestor)
            if booked is None or booked.hash == (await self._chain.fetch_block(ancestor)).hash:
                break
            if ancestor <= max(cursor.finalised, self._anchor):
                raise Broken(
                    "a finalised block has another hash on chain now: wrong endpoint, or the chain broke its word",
                    block=ancestor,
                )
            ancestor -= 1
        if ancestor == top:
            return 0
        await self._check_readable(ancestor, target)
        await self._book.roll_back(ancestor)
        return cursor.head.number - ancestor

    async def _check_readable(self, ancestor: int, target: Target) -> None:
        """The fork's first block and its events can be read: else we would forget what nobody gives back."""
        block = await self._chain.fetch_block(min(ancestor + 1, target.head.number))
        await self._chain.fetch_events(block)

    async def _advance(self, target: Target) -> Cursor:
        cursor = await self._book.load_cursor()
        while cursor is None or cursor.head.number < target.head.number:
            batch = await self._next_batch(cursor, target)
            await self._book.book(batch)
            cursor = Cursor(batch.blocks[-1], batch.finalised)
            if self._on_progress:
                self._on_progress(cursor.head.number, target.head.number)
        if cursor.finalised < target.finalised:
            finalised = min(target.finalised, cursor.head.number)
            await self._book.book(ChainBatch((cursor.head,), (), finalised))
            cursor = Cursor(cursor.head, finalised)
        return cursor

    async def _next_batch(self, cursor: Cursor | None, target: Target) -> ChainBatch:
        first = cursor.head.number + 1 if cursor else min(self._anchor, target.head.number)
        known_final = cursor.finalised if cursor else 0
        if target.finalised - first >= HEAD_BLOCKS:
            return await self._final_batch(first, min(first + CHUNK_BLOCKS - 1, target.finalised), known_final)
        parent = cursor.head if cursor else None
        return await self._head_batch(first, parent, target)

    async def _final_batch(self, first: int, last: int, known_final: int) -> ChainBatch:
        """Finalised blocks: only those with events, the first and the last are kept."""
        events = tuple(await self._chain.fetch_final_events(first, last))
        numbers = sorted({first, last} | {event.block_number for event in events})
        blocks = {number: await self._chain.fetch_block(number) for number in numbers}
        if any(event.block_hash != blocks[event.block_number].hash for event in events):
            raise ChainUnavailable("events and blocks of one range do not belong together", first=first, last=last)
        return ChainBatch(tuple(blocks.values()), events, max(last, known_final))

    async def _head_batch(self, first: int, parent: Block | None, target: Target) -> ChainBatch:
        """Blocks near the head, each the child of the one before; stops early where the chain moved while we read."""
        blocks: list[Block] = []
        events: list[ChainEvent] = []
        for number in range(first, min(first + HEAD_BLOCKS - 1, target.head.number) + 1):
            block = await self._chain.fetch_block(number)
            if parent is not None and block.parent != parent.hash:
                break
            events += await self._chain.fetch_events(block)
            blocks.append(block)
            parent = block
        if not blocks:
            raise ChainUnavailable("the chain was reorganised while it was read", block=first)
        finalised = min(target.finalised, blocks[-1].number)
        return ChainBatch(tuple(blocks), tuple(events), finalised)
