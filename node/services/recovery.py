"""Are these books the newest? Asked at start, after a reconnect, when somebody shows more (protocol rule 6).

Books that are older than the world sign nothing: no receipt, no claim, until a new generation is open on chain. It
never opens one by itself: a bump freezes every lane, so that is the owner's word (scripts/recover.py).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from node.core.errors import TowerUnavailable
from node.core.recovery import INSTRUCTION, LaneGap, behind_line
from node.core.types import Address, LaneKey
from node.ports.recovery import HighWaterMark, RecoveryBook
from node.ports.tower import Tower
from node.services.chain_view import ChainView
from node.services.serve import Serving

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """One payee's guard. `serving.suspended` is what it turns on and off."""

    book: RecoveryBook
    high_water: HighWaterMark
    chain: ChainView
    serving: Serving
    payee: Address
    towers: Sequence[Tower] = ()
    _is_checked: bool = False
    _stale_in: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether this node may sign."""
        return self._is_checked and not self._stale_in and not self.high_water.is_behind

    async def watch(self) -> None:
        """With every poll of the chain: check once, suspend when need be, go on after the new generation."""
        view = self.chain.payee_view
        if not self._is_checked:
            try:
                await self._check(view.head_generation)
            except TowerUnavailable as exc:
                self.serving.suspended = f"{exc.message}: the books cannot be compared with what it holds"
                return
        if self.high_water.is_behind and not self._stale_in:
            await self.suspend(view.head_generation, ["the database that came back is an older one"])
        if self._stale_in and view.generation > self._stale_in:
            await self._resume(view.generation)

    async def suspend(self, generation: int, reasons: Sequence[str]) -> None:
        """The books are stale in this generation: freeze its lanes, say so once, sign nothing."""
        self._stale_in = max(generation, 1)
        self.serving.suspended = f"{'; '.join(reasons[:3])}. What to do: {INSTRUCTION}"
        log.error("%s", self.serving.suspended)
        await self.book.freeze_lanes(self.payee)

    async def _check(self, generation: int) -> None:
        books, seen = await self.book.load_mark(generation), self.high_water.seen
        has_forgotten = seen is not None and books.is_behind(seen)
        reasons = []
        if seen is not None and has_forgotten and seen.generation >= generation:
            reasons.append(behind_line(books, seen))
        gaps = [*await self.book.load_claimed_ahead(self.payee, generation), *await self._towers_ahead(generation)]
        reasons += [gap.line() for gap in gaps]
        self._is_checked = True
        if reasons:
            await self.suspend(generation, reasons)
        elif has_forgotten:  # the new generation was opened while this node was down
            await self.book.freeze_lanes(self.payee)
            await self._resume(generation)
        else:
            self.high_water.accept(books)
            self.serving.suspended = ""

    async def _towers_ahead(self, generation: int) -> list[LaneGap]:
        """Lanes of this generation of which a tower holds a newer claim. Raises TowerUnavailable."""
        gaps = []
        for tower in self.towers:
            for held in await tower.load_claims(self.payee):
                claim = held.claim
                key = LaneKey(claim.payer, claim.payee, claim.lane, claim.generation)
                known = (await self.book.load_generations(key)).get(claim.generation, (0, 0))
                if claim.generation == generation and claim.seq > known[0]:
                    gaps.append(LaneGap(key, known[0], claim.seq, f"watchtower {tower.name} (seq)"))  # type: ignore[arg-type]
        return gaps

    async def _resume(self, generation: int) -> None:
        """A newer generation is open: old requests are void, each lane waits for its client's last receipt."""
        voided = await self.book.void_reservations(self.payee)
        self.high_water.accept(await self.book.load_mark(generation))
        self._stale_in = 0
        self.serving.suspended = ""
        log.warning("generation %d is open; %d requests of the lost time are void", generation, voided)
