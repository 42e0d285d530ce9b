"""What a draw is drawn from: all registered providers by stake at one finalised block, as this node's books know them.

Refreshed beside the chain poll; a draw itself reads no book and waits for nobody.
"""

import asyncio
from dataclasses import dataclass

from node.core.facts import Block
from node.core.routing.draw import StakeTable
from node.core.types import Address, Amount
from node.ports.chain import ChainBook


@dataclass(frozen=True, slots=True)
class Basis:
    """One block and the stakes there."""

    block: Block
    stakes: StakeTable


class StakeBasis:
    """The newest basis."""

    def __init__(self, book: ChainBook) -> None:
        self._book = book
        self._rows: tuple[tuple[Address, Amount], ...] = ()
        self.basis: Basis | None = None

    async def refresh(self) -> None:
        """Read the books again. Stakes and block must be of one moment: a block that passed meanwhile starts over."""
        for _ in range(3):
            cursor = await self._book.load_cursor()
            if cursor is None:
                return
            block = await self._book.load_block(cursor.finalised)
            if block is None or (self.basis is not None and block == self.basis.block):
                return
            rows = tuple((view.provider, view.stake) for view in await self._book.load_providers())
            if await self._book.load_cursor() == cursor:
                await self._take(block, rows)
                return

    async def _take(self, block: Block, rows: tuple[tuple[Address, Amount], ...]) -> None:
        stakes = self.basis.stakes if self.basis is not None else None
        if stakes is None or rows != self._rows:
            stakes = await asyncio.to_thread(StakeTable, rows)  # 100,000 rows are sorted for 0.1 s
            self._rows = rows
        self.basis = Basis(block, stakes)
