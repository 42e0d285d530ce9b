"""Settle everything and see it mined: for the demo's end and an orderly shutdown. Loses nothing when time is up."""

import asyncio
from dataclasses import dataclass

from node.core.settlement import Trigger
from node.ports.basics import Clock
from node.services.sender import Backlog, Sender
from node.services.settle import Settlement, Settler

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SettledNow:
    """What was wanted, and what was still open when time was up."""

    settlement: Settlement
    backlog: Backlog


async def settle_now(settler: Settler, sender: Sender, clock: Clock, seconds: float) -> SettledNow:
    """FORCED settling, then sending until every transaction is in a block or `seconds` have passed."""
    until = clock.monotonic() + seconds
    settlement = await settler.settle(Trigger.FORCED)
    backlog = await sender.run()
    while backlog.unmined and clock.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        backlog = await sender.run()
    return SettledNow(settlement, backlog)
