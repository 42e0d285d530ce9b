"""What this node knows of its own engines without asking them: every request in flight, and how fast answers came.

An engine's own metrics are late, or missing; the node passes every answer on, so it measures from outside: the time to
the first event, the time of a whole answer over its tokens, and how many others ran beside it. Decides nothing.
"""

from dataclasses import dataclass, field

from node.core.routing.forecast import build_forecast, idle_finish_seconds
from node.core.routing.lengths import LengthModel
from node.core.routing.load import EngineLimits, EngineLoad, Job, Queued, has_room
from node.core.routing.speed import Speed, SpeedLearner
from node.core.routing.types import Here
from node.services.backends import Backend

FIRST_GUESS = Speed(base=0.02, per_sequence=0.001, per_kv_token=1e-7, prefill_rate=4_000.0)
"""Between a small GPU and a small model on a CPU; a few answers correct it."""
FEWEST_STEPS = 4
"""Shorter answers say nothing about the speed of decoding."""
PREFILL_TOKENS = 256
"""Shorter prompts are not bound by computing."""


@dataclass(slots=True)
class Running:
    """One request on an engine. Times are monotonic seconds; `first_at` is None while it waits or prefills."""

    prompt: int
    cap: int
    began_at: float
    beside: int
    first_at: float | None = None


@dataclass(slots=True)
class EngineMeter:
    """One engine."""

    limits: EngineLimits
    learner: SpeedLearner = field(default_factory=lambda: SpeedLearner(FIRST_GUESS))
    running: dict[int, Running] = field(default_factory=dict)
    _count: int = 0

    def begin(self, prompt: int, cap: int, now: float) -> int:
        """A request goes to the engine; the number it is known by from now on."""
        self._count += 1
        self.running[self._count] = Running(prompt, cap, now, len(self.running))
        return self._count

    def first(self, number: int, now: float) -> None:
        """Its first event has come."""
        one = self.running.get(number)
        if one is None or one.first_at is not None:
            return
        one.first_at = now
        if one.prompt >= PREFILL_TOKENS and one.beside == 0:
            self.learner.observe_prefill(one.prompt, now - one.began_at)

    def end(self, number: int, tokens: int, now: float) -> None:
        """It is over, after so many tokens (0: nothing is learnt)."""
        one = self.running.pop(number, None)
        if one is None or one.first_at is None or tokens < FEWEST_STEPS:
            return
        beside = (one.beside + len(self.running)) / 2
        held = (one.prompt + tokens / 2) * (beside + 1)
        self.learner.observe_steps((now - one.first_at) / (tokens - 1), beside + 1, held)

    def load(self, lengths: LengthModel, now: float) -> EngineLoad:
        """The engine's load; how far each answer has come is told by its age and the learnt speed."""
        count, speed = len(self.running), self.learner.speed()
        held = sum(one.prompt for one in self.running.values())
        step = max(speed.step_seconds(count, held), 1e-6)
        decoding = [one for one in self.running.values() if one.first_at is not None]
        made = [min(int((now - (one.first_at or now)) / step) + 1, one.cap - 1) for one in decoding]
        left = lengths.remaining_of((done, one.cap) for done, one in zip(made, decoding, strict=True))
        jobs = sorted(Job(more, one.prompt + done) for more, done, one in zip(left, made, decoding, strict=True))
        waiting = [one for one in self.running.values() if one.first_at is None]
        queue = [Queued(one.prompt, lengths.remaining(0, one.cap)) for one in waiting]
        return EngineLoad(jobs, queue, self.limits)


NOWHERE = Here(forecast=None, idle_finish_seconds=0.0, usage=1.0, in_flight=0, has_slot=False)
"""A node without a usable engine for the model."""


@dataclass(slots=True)
class Meters:
    """The meters of all engines, and how long this node's answers get."""

    limits: EngineLimits
    lengths: LengthModel = field(default_factory=LengthModel)
    _by_engine: dict[int, EngineMeter] = field(default_factory=dict)

    def of(self, backend: Backend) -> EngineMeter:
        """The meter of a backend's engine; several models may share it."""
        return self._by_engine.setdefault(id(backend.engine), EngineMeter(self.limits))

    def best(
        self, usable: list[Backend], prompt: int, cap: int, now: float, *, queued: int = 0
    ) -> tuple[Backend | None, Here]:
        """The engine on which this request ends first, and how it looks. `queued` wait at this node before it."""
        expected = self.lengths.remaining(0, cap)
        seen = [(backend, self._here(self.of(backend), prompt, expected, now, queued)) for backend in usable]
        if not seen:
            return None, NOWHERE
        return min(seen, key=lambda one: (not one[1].has_slot, _finish(one[1], expected)))

    def _here(self, meter: EngineMeter, prompt: int, expected: float, now: float, queued: int) -> Here:
        load, speed = meter.load(self.lengths, now), meter.learner.speed()
        has_slot = not queued and has_room(load, prompt, expected)
        load.queue.extend(Queued(prompt, expected) for _ in range(queued))
        forecast = build_forecast(load, speed, prompt, expected)
        idle = idle_finish_seconds(speed, prompt, expected)
        return Here(forecast, idle, load.usage, load.in_flight, has_slot)


def _finish(here: Here, tokens: float) -> float:
    return here.forecast.finish_seconds(tokens) if here.forecast is not None else float("inf")
