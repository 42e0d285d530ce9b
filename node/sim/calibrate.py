"""Fit the step law to measurements of a real engine; predict the points the fit has not seen. Measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from node.core.routing.load import EngineLimits
from node.core.routing.speed import Speed, SpeedLearner
from node.sim.engine import Engine, Work
from node.sim.kernel import Kernel
from node.sim.profiles import CHUNK, EngineProfile

ROOM = 1_000_000
"""KV tokens: small models on a CPU never run out of it in a calibration."""


@dataclass(frozen=True, slots=True)
class Point:
    """A measured batch: sequences, mean KV tokens, mean step in milliseconds."""

    sequences: int
    kv_tokens: float
    step_ms: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """One request of a replay, in seconds: when it was sent, its sizes, its first token and its end after that."""

    at: float
    prompt: int
    tokens: int
    first: float
    latency: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on one engine: of each batch size a point with short prompts and one with long ones."""

    engine: str
    prefill_rate: float
    points: tuple[Point, ...]
    replayed: tuple[Replayed, ...] = ()
    max_sequences: int = 256

    @staticmethod
    def from_json(body: Mapping[str, object]) -> "Calibration":
        """Read what `as_json` wrote. Raises KeyError or TypeError for anything else."""
        points = body["points"]
        assert isinstance(points, list)
        replayed = body.get("replayed", [])
        assert isinstance(replayed, list)
        return Calibration(
            str(body["engine"]),
            float(str(body["prefill_rate"])),
            tuple(Point(**p) for p in points),
            tuple(Replayed(**one) for one in replayed),
            int(str(body.get("max_sequences", 256))),
        )

    def as_json(self) -> dict[str, object]:
        """For `docs/results/data`."""
        return asdict(self)


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
    """(point, predicted step in ms) for the points that the fit has not seen.

    One half is like the other: short prompts of one batch size go with long ones of the next. Had the fit short prompts
    alone, B and K would be proportional and their shares unknowable.
    """
    points = calibration.points
    speed = fit([*points[::4], *points[3::4]], calibration.prefill_rate)
    for point in sorted([*points[1::4], *points[2::4]], key=lambda point: (point.sequences, point.kv_tokens)):
        yield point, speed.step_seconds(point.sequences, point.kv_tokens) * 1e3


def predict_replay(calibration: Calibration) -> list[tuple[float, float]]:
    """(first token, latency) of each replayed request on a simulated engine with the fitted law, in their order."""
    speed = fit(calibration.points, calibration.prefill_rate)
    limits = EngineLimits(ROOM, calibration.max_sequences, CHUNK)
    kernel, watch = Kernel(), _Watch()
    watch.kernel = kernel
    engine = Engine(kernel, EngineProfile(calibration.engine, "", speed, limits), watch)
    for index, one in enumerate(calibration.replayed):
        kernel.at(one.at, engine.submit, Work(index, one.prompt, one.tokens))
    kernel.run()
    return [(watch.first[index] - one.at, watch.done[index] - one.at) for index, one in enumerate(calibration.replayed)]


class _Watch:
    """Notes when each request speaks and ends."""

    def __init__(self) -> None:
        self.kernel: Kernel
        self.first: dict[object, float] = {}
        self.done: dict[object, float] = {}

    def on_first_token(self, work: Work) -> None:
        """Note it."""
        self.first[work.key] = self.kernel.now

    def on_done(self, work: Work) -> None:
        """Note it."""
        self.done[work.key] = self.kernel.now

    def on_room(self) -> None:
        """Not of interest."""

    def on_steps(self, step_seconds: float, sequences: int, kv_tokens: float) -> None:
        """Not of interest."""
