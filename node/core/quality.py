"""What verdicts say of providers, as a factor for routing: ratings and tests folded from duels in chain order. Pure.

A newcomer counts for what it might be (optimism explores it), a convicted provider for almost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp

from node.core.duel_facts import DuelFacts, DuelState
from node.core.ratings import Finding, Rating, Sprt, SprtRule, next_rating, next_sprt
from node.core.types import Address

SCORES = {DuelState.FIRST_WON: 1.0, DuelState.TIED: 0.5, DuelState.SECOND_WON: 0.0}
NEWCOMER = Rating()
LEAST, MOST = 0.25, 20.0
"""A rating makes a provider look at most so much faster or slower than it is."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Everybody who was ever judged."""

    ratings: Mapping[Address, Rating] = field(default_factory=dict)
    tests: Mapping[Address, Sprt] = field(default_factory=dict)

    def rating(self, provider: Address) -> Rating:
        """A newcomer's for somebody never judged."""
        return self.ratings.get(provider, NEWCOMER)

    def finding(self, provider: Address) -> Finding:
        """Where its test stands."""
        return self.tests.get(provider, Sprt()).finding

    def factor(self, provider: Address, weight: float) -> float:
        """By what its promised seconds are multiplied when bids are compared; 1 for a newcomer or a weight of 0."""
        if weight == 0.0:
            return 1.0
        if self.finding(provider) is Finding.CONVICTED:
            return MOST
        better = self.rating(provider).explored_as() - NEWCOMER.explored_as()
        return min(max(exp(-weight * better), LEAST), MOST)


def next_quality(quality: Quality, duel: DuelFacts, rule: SprtRule) -> Quality:
    """After one duel that ended. A void one says nothing; a tie moves ratings, but convicts and clears nobody."""
    score = SCORES.get(duel.state)
    if score is None:
        return quality
    first, second = quality.rating(duel.first), quality.rating(duel.second)
    rated = {duel.first: next_rating(first, second, score), duel.second: next_rating(second, first, 1.0 - score)}
    quality = replace(quality, ratings={**quality.ratings, **rated})
    if duel.state is DuelState.TIED:
        return quality
    won = {duel.first: score == 1.0, duel.second: score == 0.0}
    tests = {one: next_sprt(quality.tests.get(one, Sprt()), rule, won=has_won) for one, has_won in won.items()}
    return replace(quality, tests={**quality.tests, **tests})
