"""Keeps one vLLM running: waits until it is ready, restarts it when it dies or goes deaf, drains it at the end.

Never sends it a request for anybody: that is the engine client's work, after asking `is_accepting`. Needs Linux.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from node.adapters.engine.command import EngineSpec, check_spec, choose_port
from node.adapters.engine.leashed import LeashedEngine, remove_stale_runs
from node.core.errors import EngineFailed

Sleep = Callable[[float], Awaitable[None]]


class EngineState(StrEnum):
    """What the engine is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """All in seconds, except the count."""

    ready: float = 300.0
    """25 to 50 s on two cores, 90 s seen on overloaded ones; the rest is patience for a cold disk."""
    poll: float = 0.5
    health: float = 5.0
    """Between two looks at a running engine."""
    deaf_after: int = 6
    """Failed looks in a row before it is killed: half a minute, since a loaded engine answers late."""
    first_pause: float = 1.0
    longest_pause: float = 60.0
    steady: float = 120.0
    """An engine that lived so long has earned the first pause again."""
    handover: float = 0.25
    """Requests that asked `is_accepting` before it turned may still be on their way: vLLM answers 500 to late ones."""
    margin: float = 15.0
    """vLLM's own end, on top of its drain time."""


class EngineSupervisor:
    """`async with EngineSupervisor(spec, environment) as engine:` gives a ready engine and takes it down again."""

    def __init__(
        self,
        spec: EngineSpec,
        environment: Mapping[str, str],
        *,
        limits: SupervisorLimits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.spec = spec
        self.state = EngineState.STOPPED
        self.restarts = 0
        self.last_failure = ""
        self._environment = dict(environment)
        self._limits = limits or SupervisorLimits()
        self._monotonic = monotonic
        self._sleep = sleep
        self._port = 0
        self._engine: LeashedEngine | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """The same over restarts; known once `start` has returned."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_accepting(self) -> bool:
        """Ask before each request. False while draining, though vLLM's /health still says 200 then."""
        return self.state is EngineState.READY

    async def start(self) -> None:
        """Return when the engine is ready. Raises BadConfig, or EngineFailed with the cause, and leaves nothing."""
        if self._watch is not None:
            return
        check_spec(self.spec)
        remove_stale_runs()
        self._port = choose_port(self.spec.port)
        try:
            await self._start_once()
        except BaseException:
            await self._end(grace_seconds=0)
            self.state = EngineState.STOPPED
            raise
        self._watch = asyncio.create_task(self._keep_running(), name=f"engine {self.spec.served_name}")

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, end the whole process group. Safe to call twice."""
        was_ready = self.is_accepting
        self.state = EngineState.DRAINING
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        if was_ready:
            await self._sleep(self._limits.handover)
        grace = self.spec.drain_seconds + self._limits.margin if was_ready else 0
        await self._end(grace_seconds=grace)
        self.state = EngineState.STOPPED

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start_once(self) -> None:
        self.state = EngineState.STARTING
        engine = self._engine = await LeashedEngine.start(self.spec, self._port, self._environment)
        exited = asyncio.create_task(engine.wait())
        deadline = self._monotonic() + self._limits.ready
        try:
            while not await engine.is_healthy():
                if exited.done():
                    raise EngineFailed(f"the engine ended before it was ready: {engine.explain()}")
                if self._monotonic() > deadline:
                    raise EngineFailed(f"the engine was not ready in {self._limits.ready:g} s: {engine.explain()}")
                await self._sleep(self._limits.poll)
            if exited.done():
                raise EngineFailed(f"another server answers on port {self._port}: {engine.explain()}")
        finally:
            exited.cancel()
        self.state = EngineState.READY

    async def _keep_running(self) -> None:
        pause = self._limits.first_pause
        while True:
            ready_at = self._monotonic()
            if self.is_accepting:
                self.last_failure = await self._until_broken()
            if self._monotonic() - ready_at > self._limits.steady:
                pause = self._limits.first_pause
            self.state = EngineState.BACKING_OFF
            await self._end(grace_seconds=0)
            await self._sleep(pause)
            pause = min(2 * pause, self._limits.longest_pause)
            self.restarts += 1
            try:
                await self._start_once()
            except EngineFailed as exc:
                self.last_failure = exc.message

    async def _until_broken(self) -> str:
        """Until the engine has ended, or has been deaf for too long. Returns the cause."""
        engine = self._engine
        assert engine is not None
        exited = asyncio.create_task(engine.wait())
        strikes = 0
        try:
            while strikes < self._limits.deaf_after:
                await self._first_of(exited, self._limits.health)
                if exited.done():
                    return f"the engine ended: {engine.explain()}"
                strikes = 0 if await engine.is_healthy() else strikes + 1
        finally:
            exited.cancel()
        return f"the engine did not answer {strikes} health checks in a row: {engine.explain()}"

    async def _first_of(self, exited: asyncio.Task[int], seconds: float) -> None:
        """A pause that the engine's end cuts short."""
        pause = asyncio.ensure_future(self._sleep(seconds))
        await asyncio.wait({exited, pause}, return_when=asyncio.FIRST_COMPLETED)
        pause.cancel()

    async def _end(self, grace_seconds: float) -> None:
        if self._engine is not None:
            await self._engine.end(grace_seconds)
        self._engine = None  # only now: a cancelled end is done again by whoever cancelled


__all__ = ["EngineSpec", "EngineState", "EngineSupervisor", "SupervisorLimits"]
