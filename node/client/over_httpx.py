"""The flow's HTTP over httpx, async and sync: for the Python clients. No redirects, no proxy from the environment.

What matters is one bit: whether a request that failed may have reached the other side.
"""

import asyncio
import time
from typing import Protocol

import httpx

from node.client.effects import Fetch, NoReply, Open, Reply

CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0
"""Between two pieces of a stream; a queue at the engine may hold the first one back for long."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def _timeout(read: float) -> httpx.Timeout:
    return httpx.Timeout(read, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)


def _no_reply(exc: Exception) -> NoReply:
    return NoReply(not isinstance(exc, _NEVER_SENT), f"{type(exc).__name__}: {exc}")


def _head(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()})


class HttpxStream:
    """An opened reply."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()

    async def read(self) -> bytes | NoReply:
        """See carrier.Stream."""
        try:
            return await anext(self._pieces, b"")
        except httpx.HTTPError as exc:
            return _no_reply(exc)

    async def close(self) -> None:
        """See carrier.Stream."""
        await self._response.aclose()


class HttpxTransport:
    """carrier.Transport over httpx.AsyncClient."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(trust_env=False, follow_redirects=False)

    async def fetch(self, request: Fetch) -> Reply | NoReply:
        """See carrier.Transport. httpx limits each read; the deadline ends an answer that drips for ever (H4)."""
        try:
            async with (
                asyncio.timeout(request.timeout),
                self._client.stream(
                    request.method,
                    request.url,
                    headers=dict(request.headers),
                    content=request.body,
                    timeout=_timeout(request.timeout),
                ) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > request.limit:
                        return NoReply(was_sent=True, why=f"more than {request.limit} bytes")
                head = _head(response)
                return Reply(head.status, head.headers, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as exc:
            return _no_reply(exc)

    async def open(self, request: Open) -> tuple[Reply | NoReply, HttpxStream | None]:
        """See carrier.Transport."""
        built = self._client.build_request(
            "POST",
            request.url,
            headers=dict(request.headers),
            content=request.body,
            timeout=_timeout(READ_SECONDS),
        )
        try:
            response = await self._client.send(built, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return _no_reply(exc), None
        return _head(response), HttpxStream(response)

    async def close(self) -> None:
        """See carrier.Transport."""
        await self._client.aclose()


class SyncStream(Protocol):
    """An opened reply, for one thread."""

    def read(self) -> bytes | NoReply:
        """The next bytes, b"" at the end."""

    def close(self) -> None:
        """Hang up."""


class HttpxSyncStream:
    """`SyncStream` over httpx."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces = response.iter_bytes()

    def read(self) -> bytes | NoReply:
        """See SyncStream."""
        try:
            return next(self._pieces, b"")
        except httpx.HTTPError as exc:
            return _no_reply(exc)

    def close(self) -> None:
        """See SyncStream."""
        self._response.close()


class HttpxSyncTransport:
    """The same for one thread."""

    def __init__(self, client: httpx.Client | None = None) -> None:
        self._client = client or httpx.Client(trust_env=False, follow_redirects=False)

    def fetch(self, request: Fetch) -> Reply | NoReply:
        """A whole exchange, within its deadline (see HttpxTransport.fetch)."""
        until = time.monotonic() + request.timeout
        try:
            with self._client.stream(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=_timeout(request.timeout),
            ) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > request.limit:
                        return NoReply(was_sent=True, why=f"more than {request.limit} bytes")
                    if time.monotonic() > until:
                        return NoReply(was_sent=True, why=f"not whole after {request.timeout} s")
                head = _head(response)
                return Reply(head.status, head.headers, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return _no_reply(exc)

    def open(self, request: Open) -> tuple[Reply | NoReply, SyncStream | None]:
        """POST; the reply's body is read from the stream."""
        built = self._client.build_request(
            "POST",
            request.url,
            headers=dict(request.headers),
            content=request.body,
            timeout=_timeout(READ_SECONDS),
        )
        try:
            response = self._client.send(built, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return _no_reply(exc), None
        return _head(response), HttpxSyncStream(response)

    def close(self) -> None:
        """Release all connections."""
        self._client.close()
