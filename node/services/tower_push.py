"""What this node shows its watchtowers: after k receipts of a lane, or a minute, its best voucher and a signed claim.

A tower claims for the payee when a payer thaws while this node is down; it can neither steal (earnings are the payee's)
nor read anything (a claim holds totals and a root). No claim leaves for the chain before a tower has stored it, so that
books restored from a backup always find somebody who remembers (protocol rule 8, threats P5 and P8).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from node.core.errors import Broken, KeyNotHere, TowerUnavailable
from node.core.settlement import DueLane, SignedClaim
from node.core.types import Address, LaneKey
from node.ports.basics import Clock
from node.ports.recovery import RecoveryBook
from node.ports.settling import SettlementBook
from node.ports.tower import Tower

LANES = 1_000
BATCH = 50
log = logging.getLogger(__name__)


async def show_towers(towers: Sequence[Tower], claims: Sequence[SignedClaim]) -> None:
    """To every tower. Raises TowerUnavailable when there are some and none has stored them."""
    stored = 0
    for tower in towers:
        try:
            await tower.push(claims)
            stored += 1
        except TowerUnavailable as exc:
            log.warning("%s", exc.message)
    if towers and not stored:
        raise TowerUnavailable("no watchtower has stored this claim; it is not sent")


@dataclass(slots=True)
class TowerPush:
    """One payee's pushing. `build` signs a claim over a lane (services/settle)."""

    settlements: SettlementBook
    book: RecoveryBook
    build: Callable[[DueLane], Awaitable[SignedClaim]]
    clock: Clock
    payee: Address
    towers: Sequence[Tower]
    every_receipts: int = 50
    every_seconds: float = 60.0
    _pushed: dict[LaneKey, tuple[int, float]] = field(default_factory=dict)
    """(receipts, when) of each lane's last push; forgotten by a restart, which pushes once more."""

    async def run(self) -> int:
        """Push what is due; how many lanes. Raises TowerUnavailable, LedgerUnavailable: the next run tries again."""
        if not self.towers:
            return 0
        lanes = await self.settlements.load_due(self.payee, LANES)
        due = [lane for lane in lanes if self._is_due(lane)]
        for start in range(0, len(due), BATCH):
            await self._push(due[start : start + BATCH])
        return len(due)

    def _is_due(self, lane: DueLane) -> bool:
        count, pushed_at = self._pushed.get(lane.key, (0, float("-inf")))
        is_old = self.clock.monotonic() - pushed_at >= self.every_seconds
        return lane.count - count >= self.every_receipts or (lane.count > count and is_old)

    async def _push(self, lanes: Sequence[DueLane]) -> None:
        claims = []
        for lane in lanes:
            try:
                claims.append(await self.build(lane))
            except KeyNotHere as exc:
                log.warning("lane 0x%s is not shown to the towers: %s", lane.key.lane.hex(), exc.message)
            except Broken:
                log.exception("lane 0x%s is not shown to the towers", lane.key.lane.hex())
        for signed in claims:
            await self.book.keep_claim(signed)  # whoever claims it, we must be able to serve its receipts by root
        await show_towers(self.towers, claims)
        now = self.clock.monotonic()
        self._pushed.update({lane.key: (lane.count, now) for lane in lanes})
