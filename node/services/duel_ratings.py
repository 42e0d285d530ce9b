"""Ratings kept up with the chain's final verdicts, for routing and for whoever asks."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from node.core.quality import MOST, SIZE_NAMES, Quality, Record, Topic, next_quality
from node.core.ratings import Rating, SprtRule, pooled
from node.core.types import Address, Bytes32
from node.core.wire import hex_of
from node.ports.duels import DuelBook

START = (-1, -1)
MOST_UNSHOWN = 3
"""Answers in a row that no judge could be shown (too long for their tokens): who gives so many evades duels."""


@dataclass(slots=True)
class Ratings:
    """See module. Holds nothing that the books do not hold: a restart reads them again."""

    book: DuelBook
    rule: SprtRule = field(default_factory=SprtRule)
    quality: Quality = field(default_factory=Quality)
    dispatches: bool = False
    """Whether this node holds duels: then who is not enrolled, and so never judged, is not tried as a newcomer is."""
    _enrolled: frozenset[Address] = frozenset()
    _read: tuple[int, int] = START
    _unshown: Counter[Address] = field(default_factory=Counter)

    async def refresh(self) -> None:
        """Fold what has ended since. Raises LedgerUnavailable."""
        if self.dispatches:
            members = (await self.book.load_court()).members.values()
            self._enrolled = frozenset(one.provider for one in members if one.is_active)
        while ended := await self.book.load_ended(self._read):
            for place, duel in ended:
                self.quality = next_quality(self.quality, duel, self.rule)
                self._read = place

    def factor(self, provider: Address, topic: Topic, weight: float) -> float:
        """See Quality.factor. Who evades duels counts as convicted, until an answer of its can be shown again."""
        if weight and self._unshown[provider] >= MOST_UNSHOWN:
            return MOST
        is_explored = not self.dispatches or provider in self._enrolled
        return self.quality.factor(provider, topic, weight, is_explored=is_explored)

    def note_shown(self, provider: Address, is_shown: bool) -> None:  # noqa: FBT001 - what was seen is the subject
        """An answer that was due for a duel could be shown to judges, or could not."""
        self._unshown[provider] = 0 if is_shown else self._unshown[provider] + 1

    def show(self) -> dict[str, Any]:
        """Every rated provider and model, the best first, by the strength it has at least."""
        rows = sorted(self.quality.records.items(), key=lambda one: -one[1].rating.likely_at_least())
        return {"ratings": [_row(provider, model, record) for (provider, model), record in rows]}


def _row(provider: Address, model: Bytes32, record: Record) -> dict[str, Any]:
    sizes = [{"size": SIZE_NAMES[size], **_shown(pooled(*record.parts(size)))} for size in sorted(record.offsets)]
    names = {"provider": hex_of(provider), "model": hex_of(model)}
    return {**names, **_shown(record.rating), "finding": record.test.finding.value, "sizes": sizes}


def _shown(rating: Rating) -> dict[str, Any]:
    return {"strength": round(rating.strength, 4), "sigma": round(rating.sigma, 4), "duels": rating.duels}
