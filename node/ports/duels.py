"""What the books know of duels. It replays events and asks no chain."""

from typing import Protocol

from node.core.duel_facts import CourtFacts, DuelFacts
from node.core.types import Bytes32


class DuelBook(Protocol):
    """Duels as the booked events tell them, up to the newest booked block: a reorganisation may undo the last steps."""

    async def load_duel(self, duel: Bytes32) -> DuelFacts:
        """One duel's course; state NONE for one that was never opened."""

    async def load_court(self) -> CourtFacts:
        """Who could be drawn, and with what weight at the end of every epoch."""
