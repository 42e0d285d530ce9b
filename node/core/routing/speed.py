"""How fast an engine is: a step of its batch takes base + per_sequence * B + per_kv_token * K seconds.

B = sequences decoding together, K = LLM tokens in their KV caches. The law holds for memory-bound decoding on every
GPU profile we fitted; the coefficients are learned from observed steps by recursive least squares with forgetting.
"""

from dataclasses import dataclass

FORGETTING = 0.999
"""Weight kept per observation: about a thousand steps of memory, so a changed engine is relearned in minutes."""
PRIOR_VARIANCE = 0.25
"""Relative variance of the first guess: half its size is a plausible error."""
PREFILL_MEMORY = 0.9
"""Weight kept by the prefill rate per observation."""
KILO = 1000.0

Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds per step: `base`, `per_sequence`, `per_kv_token`; and prompt tokens per second while prefilling."""

    base: float
    per_sequence: float
    per_kv_token: float
    prefill_rate: float

    def step_seconds(self, sequences: float, kv_tokens: float) -> float:
        """One decode step of that batch."""
        return self.base + self.per_sequence * sequences + self.per_kv_token * kv_tokens


class SpeedLearner:
    """Learns a `Speed` from observations. The one mutable estimator of an engine; owned by whoever watches the engine."""

    __slots__ = ("_covariance", "_prefill", "_scale", "_weights")

    def __init__(self, guess: Speed) -> None:
        self._scale: Row = (guess.base, guess.per_sequence, guess.per_kv_token * KILO)
        self._weights: Row = (1.0, 1.0, 1.0)
        self._covariance: tuple[Row, Row, Row] = (
            (PRIOR_VARIANCE, 0.0, 0.0),
            (0.0, PRIOR_VARIANCE, 0.0),
            (0.0, 0.0, PRIOR_VARIANCE),
        )
        self._prefill = guess.prefill_rate

    def speed(self) -> Speed:
        """The present estimate; never negative."""
        base, sequence, kilo = (max(w, 0.01) * s for w, s in zip(self._weights, self._scale, strict=True))
        return Speed(base, sequence, kilo / KILO, self._prefill)

    def observe_steps(self, step_seconds: float, sequences: float, kv_tokens: float) -> None:
        """Learn from decode steps that took `step_seconds` each, in units of the first guess (well conditioned)."""
        unit = self._scale[0]
        features = (1.0, sequences * self._scale[1] / unit, kv_tokens / KILO * self._scale[2] / unit)
        spread = tuple(_dot(row, features) for row in self._covariance)
        gain_floor = FORGETTING * 0.01 + _dot(features, (spread[0], spread[1], spread[2]))
        gain: Row = (spread[0] / gain_floor, spread[1] / gain_floor, spread[2] / gain_floor)
        error = step_seconds / unit - _dot(self._weights, features)
        self._weights = _add(self._weights, gain, error)
        rows = (_add(row, (spread[0], spread[1], spread[2]), -g) for row, g in zip(self._covariance, gain, strict=True))
        first, second, third = rows
        self._covariance = (_kept(first), _kept(second), _kept(third))

    def observe_prefill(self, prompt_tokens: int, seconds: float) -> None:
        """Learn from a prefill of enough tokens to be compute-bound."""
        if seconds > 0:
            self._prefill = PREFILL_MEMORY * self._prefill + (1 - PREFILL_MEMORY) * prompt_tokens / seconds


def _dot(a: Row, b: Row) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _add(a: Row, b: Row, factor: float) -> Row:
    return (a[0] + b[0] * factor, a[1] + b[1] * factor, a[2] + b[2] * factor)


def _kept(row: Row) -> Row:
    """Forget: variance grows a little, but never beyond the prior (no wind-up while the engine idles)."""
    return (
        max(min(row[0] / FORGETTING, PRIOR_VARIANCE), -PRIOR_VARIANCE),
        max(min(row[1] / FORGETTING, PRIOR_VARIANCE), -PRIOR_VARIANCE),
        max(min(row[2] / FORGETTING, PRIOR_VARIANCE), -PRIOR_VARIANCE),
    )
