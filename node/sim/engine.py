"""One simulated engine: continuous batching, chunked prefill, bounded KV memory, a queue, preemption, cancellation.

Time moves in stretches between changes of the batch, each in closed form: n steps of a batch of B sequences with K
tokens take n(base + b B + c K) + c B n(n - 1)/2. A request costs a few events however long its answer is. The
per-token simulation in tests/unit/test_sim_engine.py gives the same times.
"""

from collections import deque
from copy import copy
from heapq import heappop, heappush
from math import ceil, sqrt
from typing import Protocol

from node.sim.kernel import Kernel
from node.sim.profiles import EngineProfile


class Work:
    """One request on one engine. When it is preempted, what was made joins `prompt`, to be prefilled again."""

    __slots__ = ("cap", "finish_step", "key", "left", "made", "prompt", "running", "start_step", "tokens")

    def __init__(self, key: object, prompt: int, tokens: int, cap: int = 8192) -> None:
        self.key, self.cap = key, cap
        self.prompt = prompt
        self.tokens = tokens
        self.made = 0
        self.left = prompt
        self.running = False
        self.start_step = self.finish_step = 0


class Owner(Protocol):
    """Who is told what happens on an engine."""

    def on_first_token(self, work: Work) -> None:
        """The prompt is done and one token exists."""

    def on_done(self, work: Work) -> None:
        """The answer is complete."""

    def on_room(self) -> None:
        """Something ended, so that there may be room."""

    def on_steps(self, step_seconds: float, sequences: int, kv_tokens: float) -> None:
        """A stretch of decode-only steps was observed."""


class Engine:
    """Mutable; all times come from the kernel."""

    __slots__ = (
        "_chunked",
        "_done",
        "_finish",
        "_kernel",
        "_mixed_seconds",
        "_order",
        "_owner",
        "_plan",
        "_start",
        "_telling",
        "_token",
        "busy_seconds",
        "changes",
        "held",
        "limits",
        "preemptions",
        "prefilling",
        "running",
        "speed",
        "step",
        "tokens_made",
        "waiting",
    )  # fmt: skip

    def __init__(self, kernel: Kernel, profile: EngineProfile, owner: Owner) -> None:
        self._kernel, self._owner = kernel, owner
        self.speed, self.limits = profile.speed, profile.limits
        self.waiting: deque[Work] = deque()
        self.prefilling: deque[Work] = deque()
        self.running: dict[Work, None] = {}
        self._finish: list[tuple[int, int, Work]] = []
        self._chunked: list[tuple[Work, int]] = []
        self._done: list[Work] = []
        self.step = self.held = self._plan = self._token = self._order = 0
        self._start = self._mixed_seconds = self.busy_seconds = 0.0
        self.preemptions = self.tokens_made = self.changes = 0
        self._telling = False

    # ---- what others may ask ----

    @property
    def in_flight(self) -> int:
        """Requests decoding, prefilling or waiting."""
        return len(self.running) + len(self.prefilling) + len(self.waiting)

    def steps_now(self) -> int:
        """Steps completed by now, counted from the start of the simulation."""
        return self.step + self._progress()

    def usage(self) -> float:
        """KV room in use now, a share."""
        return (self.held + len(self.running) * self._progress()) / self.limits.kv_room

    def submit(self, work: Work) -> None:
        """Queue it; it joins at the next step boundary that has room."""
        self.waiting.append(work)
        self.changes += 1
        if self._telling:
            return
        if self._plan == 0:
            self._begin()
        elif len(self.waiting) == 1 and not self._chunked and self._fits(work):
            self._cut()

    def cancel(self, work: Work) -> None:
        """Drop it wherever it is, without telling the owner. A running one leaves at the next step boundary."""
        self.changes += 1
        if work in self.running:
            if not self._chunked:
                self._cut()
            made = self.step + self._plan - work.start_step + 1
            work.finish_step, work.key = self.step + self._plan, None
            work.tokens = min(work.tokens, made)
            self._push(work)
        elif work in self.waiting:
            self.waiting.remove(work)
        elif work in self.prefilling:
            work.key, work.tokens = None, 1

    def fail(self) -> list[Work]:
        """The engine dies: everything on it is lost and returned; nothing more happens."""
        lost = [*self.running, *self.prefilling, *self.waiting]
        self._account()
        self.changes += 1
        self._token += 1
        self.waiting.clear()
        self.prefilling.clear()
        self.running.clear()
        self._finish.clear()
        self._chunked = []
        self._plan = self.held = 0
        return lost

    def copy_into(self, twin: "Engine") -> None:
        """Give `twin`, a fresh engine, this one's present state at the last whole step (for the oracle's foresight)."""
        done = self._progress()
        batch = len(self.running)
        twin.step, twin.held = self.step + done, self.held + batch * done
        for work in self.running:
            other = copy(work)
            twin.running[other] = None
            twin._push(other)  # noqa: SLF001  # a twin of the same class
        twin.prefilling.extend(copy(work) for work in self.prefilling)
        twin.waiting.extend(copy(work) for work in self.waiting)
        twin._begin()  # noqa: SLF001  # a twin of the same class

    # ---- stretches ----

    def _fits(self, work: Work) -> bool:
        free_places = self.limits.max_sequences - len(self.running) - len(self.prefilling)
        return free_places > 0 and self.held + len(self.running) * self._progress() + work.prompt <= self.limits.kv_room

    def _seconds(self, steps: int) -> float:
        """How long the first `steps` of the present stretch take."""
        speed, batch = self.speed, len(self.running)
        each = speed.per_sequence * batch + speed.per_kv_token * self.held
        weights = (
            max(speed.base * steps, self._mixed_seconds * steps / self._plan) if self._plan else speed.base * steps
        )
        return weights + steps * each + speed.per_kv_token * batch * steps * (steps - 1) / 2

    def _progress(self) -> int:
        """Whole steps of the present stretch that are over now."""
        plan = self._plan
        if plan == 0:
            return 0
        elapsed = self._kernel.now - self._start + 1e-9
        batch, speed = len(self.running), self.speed
        if self._chunked or batch == 0:
            return min(int(plan * elapsed / max(self._seconds(plan), 1e-12)), plan)
        half = speed.per_kv_token * batch / 2
        linear = speed.base + speed.per_sequence * batch + speed.per_kv_token * self.held - half
        steps = (sqrt(linear * linear + 4 * half * elapsed) - linear) / (2 * half) if half else elapsed / linear
        return min(int(steps), plan)

    def _cut(self) -> None:
        """End the present stretch at the next step boundary."""
        steps = self._progress() + 1
        if steps < self._plan:
            self._plan = steps
            self._schedule()

    def _schedule(self) -> None:
        self._token += 1
        self._kernel.at(self._start + self._seconds(self._plan), self._end, self._token)

    def _begin(self) -> None:
        """Start the next stretch at the present step boundary, or fall idle."""
        self._admit()
        self._start, self._mixed_seconds, self._chunked = self._kernel.now, 0.0, []
        if self.prefilling:
            self._plan_mixed()
        elif self.running:
            while (self.limits.kv_room - self.held) // len(self.running) < 1 and len(self.running) > 1:
                self._preempt()
            room = (self.limits.kv_room - self.held) // len(self.running)
            self._plan = max(min(self._next_end() - self.step, max(room, 1)), 1)
        else:
            self._plan = 0
            return
        self._schedule()

    def _admit(self) -> None:
        limits = self.limits
        while self.waiting:
            work = self.waiting[0]
            alone = not self.running and not self.prefilling
            crowded = len(self.running) + len(self.prefilling) >= limits.max_sequences
            if not alone and (crowded or self.held + work.prompt > limits.kv_room):
                return
            self.waiting.popleft()
            work.left = work.prompt
            self.held += work.prompt
            self.prefilling.append(work)

    def _plan_mixed(self) -> None:
        """Fill one step's chunk with prompts; a prompt longer than the chunk takes several steps."""
        budget = max(self.limits.chunk - len(self.running), 1)
        taken = 0
        for work in self.prefilling:
            if taken and taken + work.left > budget:
                break
            self._chunked.append((work, work.left))
            taken += work.left
        steps = max(ceil(taken / budget), 1)
        self._plan = max(min(steps, self._next_end() - self.step), 1) if self.running else steps
        if self._plan < steps:
            taken = budget * self._plan
            self._chunked = [(self._chunked[0][0], taken)]
        self._mixed_seconds = taken / self.speed.prefill_rate

    def _end(self, token: int) -> None:
        if token != self._token:
            return
        self._account()
        self.changes += 1
        if not self._chunked and self.running:
            middle = self.held + len(self.running) * self._plan / 2
            self._owner.on_steps(self._seconds(self._plan) / self._plan, len(self.running), int(middle))
        self.held += len(self.running) * self._plan
        self.step += self._plan
        ended = self._collect_ended()
        self._collect_prefilled()
        self._plan = 0
        self._tell(any_left=ended)
        self._begin()

    def _tell(self, *, any_left: bool) -> None:
        """Callbacks may submit: what they bring joins the stretch that begins right after."""
        done, self._done = self._done, []
        self._telling = True
        for work in done:
            self._owner.on_done(work)
        if any_left or done:
            self._owner.on_room()
        self._telling = False

    def _account(self) -> None:
        self.busy_seconds += self._kernel.now - self._start if self._plan else 0.0
        self.tokens_made += len(self.running) * self._progress()

    def _collect_ended(self) -> bool:
        finish, any_ended = self._finish, False
        while finish and finish[0][0] <= self.step:
            _, _, work = heappop(finish)
            if work not in self.running or work.finish_step > self.step:
                continue
            del self.running[work]
            self.held -= work.prompt + work.tokens
            any_ended = True
            if work.key is not None:
                self._done.append(work)
        return any_ended

    def _collect_prefilled(self) -> None:
        for work, tokens in self._chunked:
            work.left -= tokens
            if work.left > 0:
                continue
            self.prefilling.remove(work)
            if work.key is None:
                self.held -= work.prompt
                continue
            if work.made == 0:
                self._owner.on_first_token(work)
            self._start_decoding(work)
        self._chunked = []

    def _start_decoding(self, work: Work) -> None:
        self.held += 1
        self.tokens_made += 1
        work.start_step, work.finish_step = self.step, self.step + work.tokens - 1
        if work.tokens == 1:
            self.held -= work.prompt + 1
            self._done.append(work)
            return
        self.running[work] = None
        self._push(work)

    def _push(self, work: Work) -> None:
        self._order += 1
        heappush(self._finish, (work.finish_step, self._order, work))

    def _next_end(self) -> int:
        """The step at which the next answer ends. Entries of preempted and cancelled work are dropped on the way."""
        finish = self._finish
        while finish[0][2] not in self.running or finish[0][2].finish_step != finish[0][0]:
            heappop(finish)
        return finish[0][0]

    def _preempt(self) -> None:
        """Out of memory: the newest answer gives up its cache and will be prefilled again, what it made included."""
        work, _ = self.running.popitem()
        made = self.step - work.start_step + 1
        self.held -= work.prompt + made
        work.prompt += made
        work.tokens -= made
        work.made += made
        work.left = work.prompt
        self.waiting.appendleft(work)
        self.preemptions += 1
