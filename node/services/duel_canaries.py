"""Canaries kept and counted: which of this node's duels have a verdict it knows, and how each judge voted on them.

A case is looked at once, when both answers are there; votes count once a duel's end is final. The contract seats judges
by stake and nobody can unseat one: what is said here is for people, and for whoever asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from node.core.duel_chain import duel_id
from node.core.duel_facts import DuelFacts, MemberFacts
from node.core.errors import BadVoucher
from node.core.evidence import case_of, evidence_from
from node.core.judging.canary import Tally, ballots, canary_verdict, next_tally
from node.core.judging.exact import Known
from node.core.types import Address
from node.core.wire import hex_of
from node.ports.duels import DuelBook, DuelStore, KeptCase
from node.services.duel_ratings import START


@dataclass(slots=True)
class Canaries:
    """See module. Holds nothing that the books do not hold: a restart counts them again."""

    book: DuelBook
    store: DuelStore
    known: Known
    tallies: dict[Address, Tally] = field(default_factory=dict)
    counted: int = 0
    _read: tuple[int, int] = START

    async def note(self, case: KeptCase) -> None:
        """Keep the right verdict if this is a canary. Raises LedgerUnavailable."""
        try:
            verdict = canary_verdict(self.known, case_of(evidence_from(case.evidence)))
        except BadVoucher:  # what a peer signed need not be readable
            return
        if verdict is not None:
            await self.store.keep_canary(case.duel, verdict)

    async def refresh(self) -> None:
        """Count what has ended since. Raises LedgerUnavailable."""
        while ended := await self.book.load_ended(self._read):
            members = (await self.book.load_court()).members
            for place, duel in ended:
                await self._count(duel, members)
                self._read = place

    async def _count(self, duel: DuelFacts, members: Mapping[int, MemberFacts]) -> None:
        verdict = await self.store.load_canary(duel_id(duel.dispatcher, duel.request_id))
        if verdict is None:
            return
        self.counted += 1
        for judge, vote in ballots(duel, members).items():
            self.tallies[judge] = next_tally(self.tallies.get(judge, Tally()), is_right=vote is verdict)

    def show(self) -> dict[str, Any]:
        """Every judge that voted on a canary, the worst first."""
        rows = sorted(self.tallies.items(), key=lambda one: -one[1].test.ratio)
        return {
            "canaries": self.counted,
            "judges": [
                {"judge": hex_of(judge), "right": one.right, "wrong": one.wrong, "finding": one.care.value}
                for judge, one in rows
            ],
        }
