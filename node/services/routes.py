"""Where one admitted request is served, try after try: own engines, or whatever a router chooses (services/routing).

A route hands out one backend at a time and is told what became of it. Knows no money; an own engine and a peer look the
same from here (ports.Engine).
"""

from collections.abc import Iterator
from typing import Protocol

from node.core.account import Admission
from node.core.errors import WwwserveError
from node.core.messages import Receipt
from node.services.admission import Checked
from node.services.backends import Backend, Backends
from node.services.caller import Caller
from node.services.quoting import Quote
from node.services.request import Request

MAX_ENGINES_TRIED = 2
"""Nothing has been passed on before the first event, so another engine may be asked once."""


class Route(Protocol):
    """One request's way. `next` until an answer has begun; then `ended` once the receipt is durable; always `close`."""

    async def next(self, admission: Admission, caller: Caller) -> Backend | None:
        """Who is to try now, None when nobody is left. Raises Overloaded, with the seconds to wait."""

    def started(self) -> None:
        """The backend's first event has come."""

    def failed(self, backend: Backend, error: WwwserveError) -> None:
        """It did not answer."""

    def ended(self, receipt: Receipt) -> None:
        """What it came to."""

    def close(self) -> None:
        """No more is heard of this request. May be called twice."""


class Router(Protocol):
    """Chooses where requests are served."""

    def route(self, checked: Checked, request: Request, quote: Quote) -> Route:
        """The way of one request. Raises Overloaded early rather than late, or UnknownModel; it holds nothing yet."""


class OwnEngines:
    """The route of a node that serves everything itself."""

    __slots__ = ("_backends", "_left")

    def __init__(self, backends: Backends, model: str) -> None:
        self._backends = backends
        self._left: Iterator[Backend] = iter(backends.in_order(model)[:MAX_ENGINES_TRIED])

    async def next(self, admission: Admission, caller: Caller) -> Backend | None:  # noqa: ARG002 -- needs neither
        """The next best engine."""
        return next(self._left, None)

    def started(self) -> None:
        """Learns nothing."""

    def failed(self, backend: Backend, error: WwwserveError) -> None:  # noqa: ARG002 -- any failure counts the same
        """Asked last for a while."""
        self._backends.note_failure(backend)

    def ended(self, receipt: Receipt) -> None:
        """Learns nothing."""

    def close(self) -> None:
        """Holds nothing."""
