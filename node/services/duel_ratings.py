"""Ratings kept up with the chain's final verdicts, for routing and for whoever asks."""

from dataclasses import dataclass, field
from typing import Any

from node.core.quality import Quality, next_quality
from node.core.ratings import SprtRule
from node.core.types import Address
from node.core.wire import hex_of
from node.ports.duels import DuelBook

START = (-1, -1)


@dataclass(slots=True)
class Ratings:
    """See module. Holds nothing that the books do not hold: a restart reads them again."""

    book: DuelBook
    rule: SprtRule = field(default_factory=SprtRule)
    quality: Quality = field(default_factory=Quality)
    _read: tuple[int, int] = START

    async def refresh(self) -> None:
        """Fold what has ended since. Raises LedgerUnavailable."""
        while ended := await self.book.load_ended(self._read):
            for place, duel in ended:
                self.quality = next_quality(self.quality, duel, self.rule)
                self._read = place

    def factor(self, provider: Address, weight: float) -> float:
        """See Quality.factor."""
        return self.quality.factor(provider, weight)

    def show(self) -> dict[str, Any]:
        """Every rated provider, the best first, by the strength it has at least."""
        rows = sorted(self.quality.ratings.items(), key=lambda one: -one[1].likely_at_least())
        return {"ratings": [self._row(provider) for provider, _ in rows]}

    def _row(self, provider: Address) -> dict[str, Any]:
        rating = self.quality.rating(provider)
        return {
            "provider": hex_of(provider),
            "strength": round(rating.strength, 4),
            "sigma": round(rating.sigma, 4),
            "duels": rating.duels,
            "finding": self.quality.finding(provider).value,
        }
