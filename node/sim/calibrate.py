"""Fit the step law to measurements of a real engine; predict the points the fit has not seen. Measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from node.core.routing.speed import Speed, SpeedLearner


@dataclass(frozen=True, slots=True)
class Point:
    """A measured batch: sequences, mean KV tokens, mean step in milliseconds."""

    sequences: int
    kv_tokens: float
    step_ms: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on one engine; odd points are for fitting, even ones for checking."""

    engine: str
    prefill_rate: float
    points: tuple[Point, ...]

    @staticmethod
    def from_json(body: Mapping[str, object]) -> "Calibration":
        """Read what `as_json` wrote. Raises KeyError or TypeError for anything else."""
        points = body["points"]
        assert isinstance(points, list)
        return Calibration(str(body["engine"]), float(str(body["prefill_rate"])), tuple(Point(**p) for p in points))

    def as_json(self) -> dict[str, object]:
        """For `docs/results/data`."""
        return {"engine": self.engine, "prefill_rate": self.prefill_rate, "points": [asdict(p) for p in self.points]}


def fit(points: Sequence[Point], prefill_rate: float) -> Speed:
    """The step law of those points, by the same learner the node uses."""
    first = min(points, key=lambda point: point.sequences)
    guess = Speed(first.step_ms / 1e3, first.step_ms / 1e4, first.step_ms / 1e6, prefill_rate)
    learner = SpeedLearner(guess)
    for _ in range(50):
        for point in points:
            learner.observe_steps(point.step_ms / 1e3, point.sequences, point.kv_tokens)
    return learner.speed()


def compare_points(calibration: Calibration) -> Iterator[tuple[Point, float]]:
    """(point, predicted step in ms) for the points that the fit has not seen."""
    speed = fit(calibration.points[::2], calibration.prefill_rate)
    for point in calibration.points[1::2]:
        yield point, speed.step_seconds(point.sequences, point.kv_tokens) * 1e3
