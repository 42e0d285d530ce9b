"""uvicorn as this node runs it: our limits on what a socket may send before a request is whole, and on slow readers.

uvicorn itself has no deadline for receiving a request and no limit on its headers (threats H3, H4, H7). Requests for
the paid paths of an app that has some (`NodeApi.paid`) are handed over at once; all others go the framework's way.
"""

import asyncio
from enum import Enum
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.api.hot import PAID_PATHS, Head, PaidExchange

MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 20.0
"""From the first byte of a connection, or of a further request, to the end of its headers."""
BODY_SECONDS = 120.0
"""From there to the end of the body: 8 MiB at 70 KB/s."""
STALL_SECONDS = 60.0
"""How long a reader may leave our send buffer full."""
KEEP_ALIVE_SECONDS = 30


class Phase(Enum):
    """What a connection is expected to do next, and for how long at most."""

    HEAD = HEADER_SECONDS
    BODY = BODY_SECONDS
    READ = STALL_SECONDS
    NOTHING = None


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with one timer, set only for a phase that outlasts a read."""

    _phase = _armed = Phase.NOTHING
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _idle_bytes = 0
    """What came since the last byte of the body: chunk lines, or trailers."""
    cycle: Any
    """The request being received or answered: uvicorn's kind or ours."""
    _exchanges: tuple[PaidExchange, ...] = ()
    """Paid requests on this connection: the one being answered and those pipelined behind it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection must send a request soon."""
        super().connection_made(transport)
        self._phase = Phase.HEAD
        self._arm(Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to expect."""
        self._arm(Phase.NOTHING)
        for exchange in self._exchanges:
            exchange.lose()
        if isinstance(self.cycle, PaidExchange):
            self.cycle = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before a head is complete; time what is not complete after this read."""
        if self._phase is Phase.HEAD:
            self._head_bytes += len(data)
        elif self._phase is Phase.BODY:
            self._idle_bytes += len(data)
        super().data_received(data)
        if self._phase is Phase.HEAD and self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("Request head too large.")
        if self._idle_bytes > MAX_HEADER_BYTES:
            self.transport.abort()
        if self._phase is not self._armed:
            self._arm(self._phase)

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        self._phase, self._head_bytes = Phase.HEAD, 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of a head. Trailers are nobody's: kept, they would be memory for the asking (H4)."""
        if self._phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body's turn."""
        self._phase, self._idle_bytes = Phase.BODY, 0
        path = PAID_PATHS.get(self.url.partition(b"?")[0])
        routes = getattr(self.app, "paid", None)
        if path is None or routes is None or self.parser.get_method() != b"POST":
            self._begin_scope()
            super().on_headers_complete()
            return
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        before, after = self.cycle, PaidExchange(self, Head(path, self.headers, keep_alive, self.expect_100_continue))
        self.cycle = after
        self._exchanges = (*(one for one in self._exchanges if not one.response_complete), after)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, routes)
        else:  # pipelined: its turn comes when the one before has been answered
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, routes))

    def _begin_scope(self) -> None:
        """What uvicorn does when a message begins; a paid request has no use for it."""
        read = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, headers, self.expect_100_continue = read
        self.headers += headers

    def on_body(self, body: bytes) -> None:
        """Bytes of the body."""
        self._idle_bytes = 0
        if isinstance(self.cycle, PaidExchange):
            self.cycle.add_body(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The caller has said all: from here on time is the engine's, or uvicorn's keep-alive."""
        self._phase, self._idle_bytes = Phase.NOTHING, 0
        if isinstance(self.cycle, PaidExchange):
            self.cycle.end_body()
        else:
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The caller does not read: it may hold 64 KiB of ours, but not for ever."""
        super().pause_writing()
        self._arm(Phase.READ)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._arm(self._phase)

    def _arm(self, phase: Phase) -> None:
        self._armed = phase
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase.value is not None:
            self._timer = self.loop.call_later(phase.value, self._give_up)

    def _give_up(self) -> None:
        # abort, not close: close would wait for the very reader that does not read.
        self._timer = None
        self.transport.abort()


def server_config(app: ASGIApp, host: str, port: int, **changes: Any) -> uvicorn.Config:  # noqa: ANN401 -- uvicorn's own
    """The one configuration that is tested and measured."""
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "loop": "auto",
        "http": LimitedProtocol,
        "ws": "none",
        "interface": "asgi3",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "date_header": False,
        "proxy_headers": False,
        "backlog": 2_048,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": 30,
        "log_config": None,
    }
    return uvicorn.Config(app, **{**options, **changes})
