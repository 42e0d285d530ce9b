"""What this node knows of its own engines without asking them: every request in flight, and how fast answers came.

An engine's own metrics are late, or missing; the node passes every answer on, so it measures from outside: the time to
the first event, the time of a whole answer over its tokens, and how many others ran beside it. Decides nothing.
"""

from dataclasses import dataclass, field

from node.core.engine_metrics import EngineReport
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
REPORT_SECONDS = 5.0
"""An engine's report is forgotten after this long: better none than an old one."""
STRANGER_TOKENS = 1_024
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


@dataclass(frozen=True, slots=True)
class Foreign:
    """Load on an engine that did not pass this node: sequences, those waiting, LLM tokens they hold, as of when."""

    running: int = 0
    waiting: int = 0
    held: int = 0
    at: float = float("-inf")


NOBODY = Foreign()


@dataclass(slots=True)
class EngineMeter:
    """One engine."""

    limits: EngineLimits
    learner: SpeedLearner = field(default_factory=lambda: SpeedLearner(FIRST_GUESS))
    running: dict[int, Running] = field(default_factory=dict)
    _count: int = 0
    _foreign: Foreign = NOBODY

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

    def report(self, report: EngineReport, own: int, now: float) -> None:
        """What the engine says of itself, less what is ours of it: the load that others put on it."""
        others = max(report.running + report.waiting - own, 0)
        waiting = min(report.waiting, others)
        ours = sum(one.prompt for one in self.running.values())
        held = 0 if report.kv_usage is None else max(int(report.kv_usage * self.limits.kv_room) - ours, 0)
        self._foreign = Foreign(others - waiting, waiting, held, now)

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
        return self._with_others(EngineLoad(jobs, queue, self.limits), lengths, now)

    def _with_others(self, load: EngineLoad, lengths: LengthModel, now: float) -> EngineLoad:
        """Strangers' requests are taken for middling ones, half way through."""
        foreign = self._foreign
        if now > foreign.at + REPORT_SECONDS or not foreign.running + foreign.waiting:
            return load
        expected = lengths.remaining(0, STRANGER_TOKENS)
        each = max(foreign.held // max(foreign.running, 1), STRANGER_TOKENS // 2)
        strangers = [Job(expected / 2, each)] * foreign.running
        queue = [Queued(STRANGER_TOKENS // 2, expected)] * foreign.waiting
        return EngineLoad(sorted([*load.jobs, *strangers]), [*load.queue, *queue], load.limits)


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
        return self.at(backend.engine)

    def at(self, engine: object) -> EngineMeter:
        """The same, of an engine."""
        return self._by_engine.setdefault(id(engine), EngineMeter(self.limits))

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
