"""How this node looks to its own policy: the best of its engines for a request, its queue, how long answers get."""

from dataclasses import dataclass, field

from node.core.errors import UnknownModel
from node.core.routing.types import Bid, Case, Here, RouteRequest
from node.ports.basics import Clock
from node.services.backends import Backend, Backends
from node.services.routing_meter import NOWHERE, Meters

SHORT_SHARE = 0.1
"""A deadline is judged by the length that one answer in ten stays below."""


class Queue:
    """Requests that wait at this node for a slot, first come first served. They stay free to go elsewhere."""

    def __init__(self) -> None:
        self._waiting: dict[object, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, one: object) -> None:
        """At the end, unless it waits already."""
        self._waiting.setdefault(one)

    def leave(self, one: object) -> None:
        """It waits no more, for whatever reason."""
        self._waiting.pop(one, None)

    def ahead_of(self, one: object) -> int:
        """How many wait before it (all of them before a newcomer)."""
        if one not in self._waiting:
            return len(self._waiting)
        return next(place for place, other in enumerate(self._waiting) if other is one)

    def first(self) -> object | None:
        """Whose turn it is."""
        return next(iter(self._waiting), None)


@dataclass(slots=True)
class OwnView:
    """See module."""

    backends: Backends
    meters: Meters
    clock: Clock
    queue: Queue = field(default_factory=Queue)
    peers: int = 0
    """Registered providers besides this one."""

    def usable(self, model: str) -> list[Backend]:
        """Engines that did not just fail."""
        try:
            found = self.backends.in_order(model)
        except UnknownModel:
            return []
        now = self.clock.monotonic()
        return [backend for backend in found if backend.failed_until <= now]

    def best(self, request: RouteRequest, one: object = None) -> tuple[Backend | None, Here]:
        """Where it would run here. `one` is its place in the queue, None for a newcomer."""
        usable = self.usable(request.models[0])
        if not usable:
            return None, NOWHERE
        now, queued = self.clock.monotonic(), self.queue.ahead_of(one)
        return self.meters.best(usable, request.prompt_tokens, request.max_tokens, now, queued=queued)

    def case_of(self, request: RouteRequest, here: Here, bids: tuple[Bid, ...] | None = None) -> Case:
        """What a policy sees."""
        lengths = self.meters.lengths
        expected = lengths.remaining(0, request.max_tokens)
        short = None if request.finish_by is None else min(lengths.quantile(SHORT_SHARE), expected)
        return Case(request, here, expected, self.peers, bids, short)

    def case(self, request: RouteRequest) -> Case:
        """The case of a newcomer, before anybody was asked."""
        return self.case_of(request, self.best(request)[1])

    def queued(self) -> int:
        """How many wait here."""
        return len(self.queue)

    def max_sequences(self) -> int:
        """Of one engine, as configured."""
        return self.meters.limits.max_sequences

    def kv_room(self, case: Case) -> int:
        """Free LLM tokens of the KV cache, as configured."""
        return max(int(self.meters.limits.kv_room * (1.0 - case.here.usage)), 0)
