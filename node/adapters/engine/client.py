"""An OpenAI-compatible engine over HTTP/1.1: a keep-alive pool, deadlines, cancel = close. Bytes in, bytes out.

Never parses an answer, follows a redirect, reads a proxy variable or passes on a caller's header.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from node.adapters.http1 import Connection
from node.core.engine_metrics import LONGEST_PAGE
from node.core.errors import BadConfig, EngineFailed

IDLE_SECONDS = 4.0
"""Shorter than every server's keep-alive (uvicorn: 5 s), so that we seldom write into a closing connection."""
MAX_IDLE = 512


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where an engine listens and how long it may take. `url`: http(s)://host:port[/prefix] or unix:/path/of.sock."""

    url: str
    api_key: str = field(default="", repr=False)
    connect_seconds: float = 3.0
    first_byte_seconds: float = 120.0
    """Queueing and prefill happen before the head."""
    idle_seconds: float = 60.0
    """The longest silence inside an answer."""
    total_seconds: float = 1_800.0


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed engine URL."""

    host: str
    port: int
    socket: str
    prefix: str
    tls: ssl.SSLContext | None


def parse_target(url: str) -> Target:
    """Raises BadConfig naming the URL."""
    if url.startswith("unix:"):
        return Target("localhost", 0, url.removeprefix("unix:"), "", None)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise BadConfig(f"an engine URL must be http(s)://host:port or unix:/path, not {url!r}")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    return Target(parts.hostname, parts.port or (443 if tls else 80), "", parts.path.rstrip("/"), tls)


class HttpEngine:
    """ports.Engine."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._target = parse_target(settings.url)
        self._idle: list[tuple[float, Connection]] = []
        self._is_closed = False
        authorization = f"authorization: Bearer {settings.api_key}\r\n" if settings.api_key else ""
        host = self._target.host if not self._target.port else f"{self._target.host}:{self._target.port}"
        self._common = f"HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n{authorization}"

    def open(self, path: str, body: bytes) -> "HttpExchange":
        """A POST that has not been sent yet."""
        head = (
            f"POST {self._target.prefix}{path} {self._common}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return HttpExchange(self, head.encode() + body)

    async def is_healthy(self) -> bool:
        """GET /health says 200 within two seconds."""
        exchange = HttpExchange(self, f"GET {self._target.prefix}/health {self._common}\r\n".encode())
        try:
            async with asyncio.timeout(2.0):
                status = await exchange.start()
                while await exchange.read():
                    pass
        except (EngineFailed, TimeoutError):
            exchange.cancel()
            return False
        return status == 200

    async def metrics_page(self) -> str:
        """ports.engine.Gauged: GET /metrics, within two seconds and LONGEST_PAGE."""
        exchange = HttpExchange(self, f"GET {self._target.prefix}/metrics {self._common}\r\n".encode())
        page = b""
        try:
            async with asyncio.timeout(2.0):
                status = await exchange.start()
                while (part := await exchange.read()) and len(page) < LONGEST_PAGE:
                    page += part
        except TimeoutError as exc:
            raise EngineFailed("the engine's metrics do not come") from exc
        finally:
            exchange.cancel()
        return page.decode("utf-8", "replace") if status == 200 else ""

    def close(self) -> None:
        """Drop the idle connections; those in use end with their answers."""
        self._is_closed = True
        for _, connection in self._idle:
            connection.abort("shutting down")
        self._idle.clear()

    def take_idle(self) -> Connection | None:
        """The connection used last, while it is fresh."""
        oldest = time.monotonic() - IDLE_SECONDS
        while self._idle:
            since, connection = self._idle.pop()
            if connection.is_closed:
                continue
            if since < oldest:
                connection.abort("idle for too long")
                continue
            return connection
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises EngineFailed."""
        loop, target = asyncio.get_running_loop(), self._target
        try:
            async with asyncio.timeout(self.settings.connect_seconds):
                if target.socket:
                    _, made = await loop.create_unix_connection(self._new, target.socket)
                else:
                    _, made = await loop.create_connection(self._new, target.host, target.port, ssl=target.tls)
        except (OSError, TimeoutError, ssl.SSLError) as exc:
            raise EngineFailed("the engine does not answer") from exc
        return made

    def _new(self) -> Connection:
        return Connection(self._keep)

    def _keep(self, connection: Connection) -> None:
        if self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.abort("not kept")
            return
        self._idle.append((time.monotonic(), connection))


class HttpExchange:
    """ports.Exchange: one request, with one timer that is moved instead of being set anew for every event."""

    def __init__(self, engine: HttpEngine, request: bytes) -> None:
        self._engine = engine
        self._request = request
        self._connection: Connection | None = None
        self._is_cancelled = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._quiet_until = 0.0
        self._end_at = 0.0

    async def start(self) -> int:
        """Send; once more on a new connection when a kept one turns out to have been closed under us."""
        self._loop = asyncio.get_running_loop()
        settings, now = self._engine.settings, self._loop.time()
        self._end_at = now + settings.total_seconds
        self._quiet_until = now + settings.first_byte_seconds
        self._arm(min(self._quiet_until, self._end_at, now + settings.idle_seconds))
        try:
            status = await self._send()
        except BaseException:
            self.cancel()
            raise
        self._quiet_until = self._loop.time() + settings.idle_seconds
        return status

    async def read(self) -> bytes:
        """The next body bytes; b"" at the proper end. Raises EngineFailed."""
        if self._connection is None or self._is_cancelled:
            raise EngineFailed("this exchange is not open")
        try:
            data = await self._connection.read()
        except BaseException:
            self.cancel()
            raise
        self._note(data)
        return data

    def listen(self, on_more: Callable[[], object] | None) -> None:
        """See ports.LiveExchange."""
        if self._connection is not None:
            self._connection.listen(on_more)

    def take(self) -> bytes | None:
        """See ports.LiveExchange."""
        if self._connection is None or self._is_cancelled:
            raise EngineFailed("this exchange is not open")
        try:
            data = self._connection.take()
        except EngineFailed:
            self.cancel()
            raise
        if data is not None:
            self._note(data)
        return data

    def _note(self, data: bytes) -> None:
        """Whatever has come ends the silence; the end ends the exchange."""
        if not data:
            self._connection = None
            self._stop_timer()
            return
        self._quiet_until = self._loop.time() + self._engine.settings.idle_seconds

    def cancel(self) -> None:
        """Close the connection: the engine notices within a fraction of a second and frees its memory."""
        self._is_cancelled = True
        self._stop_timer()
        if self._connection is not None:
            self._connection.abort("cancelled")
            self._connection = None

    async def _send(self) -> int:
        kept = self._engine.take_idle()
        if kept is not None:
            self._connection = kept
            kept.write_request(self._request)
            try:
                return await kept.wait_head()
            except EngineFailed:
                if self._is_cancelled or not kept.was_stale:
                    raise
        self._connection = await self._engine.connect()
        if self._is_cancelled:
            self._connection.abort("cancelled")
            raise EngineFailed("cancelled")
        self._connection.write_request(self._request)
        return await self._connection.wait_head()

    def _arm(self, at: float) -> None:
        self._timer = self._loop.call_at(at, self._check_deadline)

    def _check_deadline(self) -> None:
        due, now = min(self._quiet_until, self._end_at), self._loop.time()
        if self._connection is not None and self._connection.has_unread:
            due = self._end_at
        if now < due:
            self._arm(min(due, now + self._engine.settings.idle_seconds))
            return
        self._timer = None
        self._is_cancelled = True
        if self._connection is not None:
            self._connection.abort("the engine took too long")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
