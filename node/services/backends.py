"""Step 4, local part: which of this node's engines takes a request. Least busy first, one that just failed last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.core.errors import UnknownModel
from node.ports.basics import Clock
from node.ports.engine import Engine

FAILED_SECONDS = 5.0
"""An engine that failed to answer is asked last for this long."""


@dataclass(slots=True)
class Backend:
    """One engine and the name it knows the model by."""

    engine: Engine
    model: str
    in_flight: int = 0
    failed_until: float = field(default=float("-inf"))
    is_peer: bool = False
    """Somebody else's: paid for by our own recount, and believed in nothing (threat L1)."""


class Backends:
    """The engines behind each offered model."""

    def __init__(self, by_model: Mapping[str, Sequence[Backend]], clock: Clock) -> None:
        self._by_model = {name: list(backends) for name, backends in by_model.items()}
        self._clock = clock

    def in_order(self, model: str) -> list[Backend]:
        """Who to ask, best first. Raises UnknownModel when no engine serves it."""
        backends = self._by_model.get(model)
        if not backends:
            raise UnknownModel("no engine of this node serves that model", param="model")
        if len(backends) == 1:
            return backends
        now = self._clock.monotonic()
        return sorted(backends, key=lambda one: (one.failed_until > now, one.in_flight))

    def serve_also(self, models: Sequence[str]) -> None:
        """Models of a newer offer: every engine serves them too. None is taken away: old vouchers may name it."""
        for name in models:
            self._by_model.setdefault(name, [Backend(engine, name) for engine in self.engines()])

    def engines(self) -> list[Engine]:
        """Every engine once, whatever it serves."""
        return list({id(one.engine): one.engine for some in self._by_model.values() for one in some}.values())

    def note_failure(self, backend: Backend) -> None:
        """It did not answer."""
        backend.failed_until = self._clock.monotonic() + FAILED_SECONDS

    async def healthy(self) -> dict[str, int]:
        """How many engines of each model would take a request now."""
        return {name: sum([await one.engine.is_healthy() for one in some]) for name, some in self._by_model.items()}
