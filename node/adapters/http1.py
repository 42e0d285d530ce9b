"""One HTTP/1.1 client connection: an asyncio Protocol over httptools, one request at a time, kept alive between them.

For engines and for peers alike. Never buffers an answer whole: above HIGH_WATER unread bytes it stops reading, so that
a slow reader at the other end slows the server's socket and not our memory (threat H7).
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from node.core.errors import EngineFailed

HIGH_WATER = 256 * 1024
"""Unread bytes at which reading stops; it starts again when they are taken."""
MAX_HEADER_BYTES = 64 * 1024
"""An engine's response head above this is not HTTP we want."""


class Connection(asyncio.Protocol):
    """The transport's end and the parser's callbacks. `on_idle` gets it back when it may carry another request."""

    def __init__(self, on_idle: Callable[["Connection"], None], keep: frozenset[bytes] = frozenset()) -> None:
        self._on_idle = on_idle
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Callable[[], object] | None = None
        self._is_paused = False
        self.is_closed = False
        self._parts: list[bytes] = []
        self.on_body = self._parts.append
        """What the parser calls for each chunk: a method of ours would be most of the cost of one."""
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._parts.clear()
        self._size = 0
        self._idle_size = 0
        self._until_eof = True
        self._may_keep = False
        self.headers: dict[str, str] = {}
        self.status = 0
        self.is_complete = False
        self.was_stale = False
        self._failure: EngineFailed | None = None

    # The client's side

    def write_request(self, data: bytes) -> None:
        """Start a request on an idle connection."""
        self._begin()
        if self._transport is None or self.is_closed:
            raise EngineFailed("the connection to the engine is closed")
        self._transport.write(data)

    async def wait_head(self) -> int:
        """The status, once the headers are in. Raises EngineFailed."""
        while self.status == 0:
            await self._wait()
        return self.status

    async def read(self) -> bytes:
        """All body bytes since the last call, at least one; b"" at the proper end. Raises EngineFailed."""
        while (data := self.take()) is None:
            await self._wait()
        return data

    def listen(self, on_more: Callable[[], object] | None) -> None:
        """Who is told at once when there may be something to take."""
        self._listener = on_more

    def take(self) -> bytes | None:
        """As `read`, but None when nothing has come."""
        if not self._parts:
            if self.is_complete:
                self._release()
                return b""
            self._raise_failure()
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    @property
    def is_framed(self) -> bool:
        """Whether the answer says itself where it ends; otherwise a cut looks like its end."""
        return not self._until_eof

    @property
    def peer_address(self) -> str:
        """Where the socket really goes."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate, DER; None without TLS."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return None if tls is None else tls.getpeercert(binary_form=True)

    @property
    def has_unread(self) -> bool:
        """Whether it is the reader that is slow, not the engine."""
        return bool(self._parts)

    def abort(self, reason: str) -> None:
        """Drop the connection now; whoever waits on it gets EngineFailed with this reason."""
        if self.is_closed:
            return
        if self._failure is None and not self.is_complete:
            self._failure = EngineFailed(reason)
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def _wait(self) -> None:
        self._raise_failure()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        # Body bytes that came before the failure are still the caller's: it raises on the next wait.
        if not self._parts:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._listener is not None:
            self._listener()
        if self._listener is not None and self.is_complete:
            self._listener()  # it has taken the last bytes: now the end

    def _release(self) -> None:
        self._listener = None
        if self.is_closed:
            return
        if self._may_keep:
            self._on_idle(self)
        else:
            self.abort("done")

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; one wake-up a read, however many chunks it holds."""
        if self.is_complete:
            self.abort("the engine sent more than its answer")
            return
        unread = len(self._parts)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort("the engine does not speak HTTP/1.1")
            return
        self._size += len(data)
        self._idle_size = 0 if len(self._parts) > unread else self._idle_size + len(data)
        if self._idle_size > MAX_HEADER_BYTES:
            self.abort("the engine's response has too large a head or trailer")
            return
        if self._size > HIGH_WATER and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The engine closed its side: an answer without length ends here, any other is cut short."""
        if self.status and self._until_eof:
            self.is_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.is_closed = True
        if not self.is_complete and self._failure is None:
            self.was_stale = self.status == 0 and self._idle_size == 0
            self._failure = EngineFailed("the engine closed the connection")
            self._failure.__cause__ = exc
        self._wake()

    # The parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        """Only what frames the body matters, and the few that are kept; httptools checks the framing itself."""
        lowered = name.lower()
        if lowered in self._keep:
            self.headers[lowered.decode("latin-1")] = value.decode("latin-1")
        if lowered == b"content-length" or (lowered == b"transfer-encoding" and b"chunked" in value.lower()):
            self._until_eof = False

    def on_headers_complete(self) -> None:
        """A final status, or a 1xx that is skipped."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status

    def on_message_complete(self) -> None:
        """The body's proper end (not called for an answer without length)."""
        if self.status:
            self.is_complete = True
            self._may_keep = bool(self._parser.should_keep_alive()) and not self._until_eof
