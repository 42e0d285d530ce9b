"""Keeps this node's allotments where it is likely to spend: looks now and then, and wants one batch of top-ups.

The wish goes through the outbox like every transaction of this node, so a crash between deciding and sending tops up
once. Spends nothing itself: allotted money can come back after a thaw.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from node.core.capital import CapitalRules, Spending, plan_top_ups
from node.core.transactions import Call, Wish
from node.core.types import Address, Amount, Seconds
from node.ports.basics import Clock
from node.ports.settling import Outbox

log = logging.getLogger(__name__)
KEY, KIND = "offload-allot", "allot"
MEMORY = 0.7
"""Weight kept by the past rate at each look."""

Spent = Callable[[], Mapping[Address, tuple[Amount, Amount]]]
"""payee -> (cover left, charges so far) of every live peer."""
ReadFree = Callable[[], Awaitable[Amount]]
"""This node's free deposit in the escrow, at the head."""
AllotCall = Callable[[Sequence[tuple[Address, Amount]]], Call]


@dataclass(slots=True)
class CapitalPlanner:
    """See module."""

    spent: Spent
    read_free: ReadFree
    allot_call: AllotCall
    outbox: Outbox
    sender: Address
    clock: Clock
    rules: CapitalRules
    _seen: dict[Address, tuple[float, Amount]] = field(default_factory=dict)
    _rates: dict[Address, float] = field(default_factory=dict)

    async def run(self) -> Sequence[tuple[Address, Amount]]:
        """Want what is short; what was wanted. Raises ChainUnavailable or LedgerUnavailable: look again later."""
        peers = self._look()
        if not plan_top_ups(peers, Amount(2**127), self.rules):
            return []  # nobody is short: no need to ask the chain
        rows = plan_top_ups(peers, await self.read_free(), self.rules)
        if not rows:
            log.info("peers are short of cover, and the free deposit of %s is empty", "0x" + self.sender.hex())
            return []
        wish = Wish(KEY, KIND, self.sender, self.allot_call(rows), Seconds(0))
        return rows if await self.outbox.add(wish) is not None else []

    def _look(self) -> list[Spending]:
        now = self.clock.monotonic()
        peers = []
        for payee, (left, charged) in self.spent().items():
            before = self._seen.get(payee)
            if before is not None and now > before[0]:
                fresh = max(charged - before[1], 0) / (now - before[0])
                self._rates[payee] = MEMORY * self._rates.get(payee, fresh) + (1 - MEMORY) * fresh
            self._seen[payee] = (now, charged)
            peers.append(Spending(payee, left, self._rates.get(payee, 0.0)))
        return peers
