"""Ratings from duels: a verdict is an opinion, conviction needs statistics.

Elo with uncertainty (a Gaussian belief about a Bradley-Terry strength, updated as in Glicko) orders providers; a
sequential probability ratio test convicts those that lose too often. Both read only outcomes; neither moves money.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, hypot, log, pi, sqrt

FIRST_SIGMA = 1.0
"""Uncertainty of a newcomer's strength, in natural log-odds of winning."""
DRIFT = 0.002
"""Variance added per duel: a provider may change its model."""


class Finding(StrEnum):
    """Where a sequential test stands."""

    OPEN = "open"
    HONEST = "honest"
    CONVICTED = "convicted"


@dataclass(frozen=True, slots=True)
class Rating:
    """Strength (log-odds against an average peer) and its standard deviation."""

    strength: float = 0.0
    sigma: float = FIRST_SIGMA
    duels: int = 0

    def likely_at_least(self) -> float:
        """A pessimistic strength for ranking: two deviations below. Newcomers rise by duelling, not by being new."""
        return self.strength - 2.0 * self.sigma

    def explored_as(self) -> float:
        """An optimistic strength for exploration: a newcomer gets work until it is known."""
        return self.strength + self.sigma


def win_probability(a: Rating, b: Rating) -> float:
    """Chance that `a` beats `b`, uncertainty of both included (logistic with the probit correction)."""
    spread = sqrt(1.0 + pi / 8.0 * (a.sigma**2 + b.sigma**2))
    return 1.0 / (1.0 + exp((b.strength - a.strength) / spread))


def next_rating(mine: Rating, theirs: Rating, score: float) -> Rating:
    """My rating after a duel with score 1 (won), 0 (lost) or .5 (tie)."""
    damping = 1.0 / sqrt(1.0 + 3.0 * theirs.sigma**2 / pi**2)
    expected = 1.0 / (1.0 + exp(-damping * (mine.strength - theirs.strength)))
    information = damping**2 * expected * (1.0 - expected)
    variance = 1.0 / (1.0 / (mine.sigma**2 + DRIFT) + information)
    strength = mine.strength + variance * damping * (score - expected)
    return Rating(strength, sqrt(variance), mine.duels + 1)


def pooled(base: Rating, offset: Rating) -> Rating:
    """A strength that is the sum of two: what holds everywhere, and what a special case adds."""
    return Rating(base.strength + offset.strength, hypot(base.sigma, offset.sigma), offset.duels)


def next_pooled(mine: tuple[Rating, Rating], theirs: Rating, score: float) -> tuple[Rating, Rating]:
    """Both parts after a duel: the step of their sum, shared by how uncertain each is (partial pooling).

    A Kalman step that forgets how the parts hang together: their sum is thought less certain than it is, never more.
    """
    whole = pooled(*mine)
    after = next_rating(whole, theirs, score)
    drift = 1.0 + DRIFT / whole.sigma**2
    step, gone = after.strength - whole.strength, 1.0 - (after.sigma / whole.sigma) ** 2 / drift
    parts = []
    for part in mine:
        share = (part.sigma / whole.sigma) ** 2
        sigma = part.sigma * sqrt(drift * (1.0 - share * gone))
        parts.append(Rating(part.strength + share * step, sigma, part.duels + 1))
    return parts[0], parts[1]


@dataclass(frozen=True, slots=True)
class SprtRule:
    """Is the win rate `fair`, or at most `poor`? Errors: `convict_honest` (1 %) and `clear_poor` (5 %)."""

    fair: float = 0.5
    poor: float = 0.4
    convict_honest: float = 0.01
    clear_poor: float = 0.05

    @property
    def convict_at(self) -> float:
        """Log-likelihood ratio from which a provider is convicted."""
        return log((1.0 - self.clear_poor) / self.convict_honest)

    @property
    def clear_at(self) -> float:
        """Log-likelihood ratio below which the test ends in its favour (and starts anew)."""
        return log(self.clear_poor / (1.0 - self.convict_honest))

    def weight(self, *, won: bool) -> float:
        """What one duel adds to the log-likelihood ratio."""
        if won:
            return log(self.poor / self.fair)
        return log((1.0 - self.poor) / (1.0 - self.fair))


@dataclass(frozen=True, slots=True)
class Sprt:
    """A running test of one provider."""

    ratio: float = 0.0
    duels: int = 0
    finding: Finding = Finding.OPEN


def next_sprt(test: Sprt, rule: SprtRule, *, won: bool) -> Sprt:
    """The test after a duel. A conviction is final; a test that cleared starts anew with the next duel."""
    if test.finding is Finding.CONVICTED:
        return test
    start = 0.0 if test.finding is Finding.HONEST else test.ratio
    ratio = start + rule.weight(won=won)
    finding = Finding.OPEN
    if ratio >= rule.convict_at:
        finding = Finding.CONVICTED
    elif ratio <= rule.clear_at:
        finding = Finding.HONEST
    return Sprt(ratio, test.duels + 1, finding)
