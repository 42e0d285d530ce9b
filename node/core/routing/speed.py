"""How fast an engine is: a step of its batch takes base + per_sequence * B + per_kv_token * K seconds.

B = sequences decoding together, K = LLM tokens in their KV caches. The law holds for memory-bound decoding on every
GPU profile we fitted; the coefficients are learned from observed steps by least squares with forgetting, drawn towards
the first guess. (Recursive least squares was tried first and blew up: B and K move together, so one direction is never
excited and its variance winds up.)
"""

from dataclasses import dataclass

FORGETTING = 0.999
"""Weight kept per observation: about a thousand steps of memory, so a changed engine is relearned in minutes."""
RIDGE = 1e-3
"""Pull towards the first guess: measured steps scatter by about 1 %, the guess is off by about a third."""
LARGEST_FACTOR = 20.0
"""No coefficient is ever believed to be further from the first guess than this, either way."""
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
    """Learns a `Speed` from observations. Mutable; owned by whoever watches the engine."""

    __slots__ = ("_known", "_moments", "_prefill", "_scale", "_targets")

    def __init__(self, guess: Speed) -> None:
        self._scale: Row = (guess.base, guess.per_sequence, guess.per_kv_token * KILO)
        self._moments = [0.0] * 6
        self._targets = [0.0] * 3
        self._prefill = guess.prefill_rate
        self._known: Speed | None = guess

    def speed(self) -> Speed:
        """The present estimate; never negative."""
        if self._known is None:
            weights = _solve(self._moments, self._targets)
            clipped = [min(max(weight, 1 / LARGEST_FACTOR), LARGEST_FACTOR) for weight in weights]
            base, sequence, kilo = (weight * unit for weight, unit in zip(clipped, self._scale, strict=True))
            self._known = Speed(base, sequence, kilo / KILO, self._prefill)
        return self._known

    def observe_steps(self, step_seconds: float, sequences: float, kv_tokens: float) -> None:
        """Learn from decode steps that took `step_seconds` each, in units of the first guess (well conditioned)."""
        unit, per_sequence, per_kilo = self._scale
        x, y = sequences * per_sequence / unit, kv_tokens / KILO * per_kilo / unit
        seen = step_seconds / unit
        keep = FORGETTING
        m, t = self._moments, self._targets
        self._moments = [
            m[0] * keep + 1.0, m[1] * keep + x, m[2] * keep + y, m[3] * keep + x * x, m[4] * keep + x * y,
            m[5] * keep + y * y,
        ]  # fmt: skip
        self._targets = [t[0] * keep + seen, t[1] * keep + seen * x, t[2] * keep + seen * y]
        self._known = None

    def observe_prefill(self, prompt_tokens: int, seconds: float) -> None:
        """Learn from a prefill of enough tokens to be compute-bound."""
        if seconds > 0:
            self._prefill = PREFILL_MEMORY * self._prefill + (1 - PREFILL_MEMORY) * prompt_tokens / seconds
            self._known = None


def _solve(moments: list[float], targets: list[float]) -> Row:
    """Weights w of (M + ridge) w = t + ridge, the guess being (1, 1, 1). Symmetric 3 x 3, by Cramer's rule."""
    a, b, c, d, e, f = moments
    a, d, f = a + RIDGE, d + RIDGE, f + RIDGE
    p, q, r = (target + RIDGE for target in targets)
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * first + b * second + c * third
    return (
        (p * first + q * second + r * third) / determinant,
        (p * second + q * (a * f - c * c) + r * (b * c - a * e)) / determinant,
        (p * third + q * (b * c - a * e) + r * (a * d - b * b)) / determinant,
    )
