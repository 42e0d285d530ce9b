"""Reads each engine's own metrics now and then: load on it that did not pass this node (somebody else uses it, too).

This node's own requests are counted as they pass (routing_meter), which no page is as quick at. An engine without a
page that we can read is measured from outside alone. Decides nothing.
"""

import asyncio
from dataclasses import dataclass

from node.core.engine_metrics import read_report
from node.core.errors import EngineFailed
from node.ports.basics import Clock
from node.ports.engine import Gauged
from node.services.backends import Backends
from node.services.routing_meter import Meters

WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EngineWatch:
    """See module. `look` once a second."""

    backends: Backends
    meters: Meters
    clock: Clock

    async def look(self) -> None:
        """All engines at once; one that fails leaves its meter as it is, where a report gets old by itself."""
        engines = [engine for engine in self.backends.engines() if isinstance(engine, Gauged)]
        await asyncio.gather(*(self._read(engine) for engine in engines))

    async def _read(self, engine: Gauged) -> None:
        meter = self.meters.at(engine)
        own = len(meter.running)
        try:
            report = read_report(await engine.metrics_page())
        except EngineFailed:
            return
        if report is not None:
            meter.report(report, max(own, len(meter.running)), self.clock.monotonic())
