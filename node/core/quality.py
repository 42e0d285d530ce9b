"""What verdicts say of providers, as a factor for routing: ratings and tests folded from duels in chain order. Pure.

Kept per provider and model; a size of request refines a rating as far as its own duels say so. A newcomer counts for
what it might be (optimism explores it), a convicted provider for almost nothing.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp

from node.core.duel_facts import DuelFacts, DuelState
from node.core.ratings import Finding, Rating, Sprt, SprtRule, next_pooled, next_sprt, pooled
from node.core.types import Address, Bytes32

SCORES = {DuelState.FIRST_WON: 1.0, DuelState.TIED: 0.5, DuelState.SECOND_WON: 0.0}
SIZES = (2_048, 16_384)
"""Longest request bodies in bytes of all size classes but the last: some 512 and 4,096 LLM tokens of plain text. Bytes,
because a judge can check them without the model's tokenizer."""
SIZE_NAMES = ("up to 2 KiB", "up to 16 KiB", "longer")
SIZE_SIGMA = 0.5
"""How much a strength is thought to differ between sizes before any duel: half a newcomer's uncertainty."""
NO_OFFSET = Rating(0.0, SIZE_SIGMA)
NEWCOMER = pooled(Rating(), NO_OFFSET)
LEAST, MOST = 0.25, 20.0
"""A rating makes a provider look at most so much faster or slower than it is."""


def size_class(body: bytes) -> int:
    """Which of SIZE_NAMES a request is."""
    return bisect_left(SIZES, len(body))


@dataclass(frozen=True, slots=True)
class Topic:
    """What a provider is asked for, as ratings see it."""

    model: Bytes32
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """What verdicts say of one provider's answers by one model; `offsets`: what a size adds to `rating`."""

    rating: Rating = field(default_factory=Rating)
    offsets: Mapping[int, Rating] = field(default_factory=dict)
    test: Sprt = field(default_factory=Sprt)

    def parts(self, size: int) -> tuple[Rating, Rating]:
        """The rating and its offset for requests of that size."""
        return self.rating, self.offsets.get(size, NO_OFFSET)

    def after(self, theirs: Rating, size: int, score: float, rule: SprtRule) -> "Record":
        """This record after one duel. A tie moves ratings, but convicts and clears nobody."""
        rating, offset = next_pooled(self.parts(size), theirs, score)
        is_tie = score == SCORES[DuelState.TIED]
        test = self.test if is_tie else next_sprt(self.test, rule, won=score == 1.0)
        return Record(rating, {**self.offsets, size: offset}, test)


NOTHING_KNOWN = Record()


@dataclass(frozen=True, slots=True)
class Quality:
    """Everybody who was ever judged, by provider and model."""

    records: Mapping[tuple[Address, Bytes32], Record] = field(default_factory=dict)

    def record(self, provider: Address, model: Bytes32) -> Record:
        """A newcomer's for somebody never judged with that model."""
        return self.records.get((provider, model), NOTHING_KNOWN)

    def rating(self, provider: Address, topic: Topic) -> Rating:
        """As good as its duels with that model say, those with requests of that size above all."""
        return pooled(*self.record(provider, topic.model).parts(topic.size))

    def factor(self, provider: Address, topic: Topic, weight: float, *, is_explored: bool = True) -> float:
        """By what its promised seconds are multiplied when bids are compared; 1 for a newcomer or a weight of 0.

        Who is not explored counts as what it is thought to be: no verdict will ever come of trying it.
        """
        if weight == 0.0:
            return 1.0
        if self.record(provider, topic.model).test.finding is Finding.CONVICTED:
            return MOST
        rating = self.rating(provider, topic)
        better = (rating.explored_as() if is_explored else rating.strength) - NEWCOMER.explored_as()
        return min(max(exp(-weight * better), LEAST), MOST)


def next_quality(quality: Quality, duel: DuelFacts, rule: SprtRule) -> Quality:
    """After one duel that ended. A void one says nothing."""
    score = SCORES.get(duel.state)
    if score is None:
        return quality
    topic = Topic(duel.model, min(duel.size, len(SIZES)))
    rows = ((duel.first, duel.second, score), (duel.second, duel.first, 1.0 - score))
    changed = {
        (one, topic.model): quality.record(one, topic.model).after(
            quality.rating(other, topic), topic.size, own_score, rule
        )
        for one, other, own_score in rows
    }
    return Quality({**quality.records, **changed})
