"""The flow's HTTP over aiohttp: for the gateway. No redirects, no proxies; the caller's headers are never sent on.

With `guard=True` it connects to globally routable addresses only, checked after the name is resolved and on the very
address that is connected to (threat H1: an endpoint of the registry is a stranger's text).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from node.client.effects import Fetch, NoReply, Open, Reply
from node.core.endpoints import EndpointRules, is_allowed

CONNECT_SECONDS = 10.0
READ_SECONDS = 120.0
"""Between two pieces of a stream; a queue at the engine may hold the first one back for long."""
PUBLIC_ONLY = EndpointRules()
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


def is_global(address: str) -> bool:
    """Whether an IP address is a public unicast one, and wraps none that is not; a scope makes it local."""
    try:
        return is_allowed(ipaddress.ip_address(address), PUBLIC_ONLY)
    except ValueError:
        return False


class GuardedResolver(AbstractResolver):
    """Resolves with the system's resolver and lets no private address through; one bad address refuses the name."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError, which aiohttp reports as a failed connection."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results = [_result(host, entry) for entry in found]
        if not results or not all(is_global(result["host"]) for result in results):
            raise OSError(f"{host} does not resolve to public addresses only")
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, entry: tuple[Any, ...]) -> ResolveResult:
    family, _, proto, _, address = entry
    return ResolveResult(
        hostname=host,
        host=str(address[0]),
        port=int(address[1]),
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST,
    )


class AiohttpStream:
    """An opened reply."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes | NoReply:
        """See carrier.Stream."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            return NoReply(was_sent=True, why=f"{type(exc).__name__}: {exc}")

    async def close(self) -> None:
        """See carrier.Stream: an unfinished reply's connection is closed, so that the provider sees it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class AiohttpTransport:
    """carrier.Transport over aiohttp. Make it inside a running loop."""

    def __init__(self, *, guard: bool) -> None:
        resolver = GuardedResolver() if guard else None
        connector = aiohttp.TCPConnector(resolver=resolver, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        self._guard = guard
        self._http = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def fetch(self, request: Fetch) -> Reply | NoReply:
        """See carrier.Transport."""
        timeout = aiohttp.ClientTimeout(total=request.timeout, sock_connect=CONNECT_SECONDS)
        try:
            async with self._http.request(
                request.method,
                self._checked(request.url),
                headers=request.headers,
                data=request.body,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > request.limit:
                        return NoReply(was_sent=True, why=f"more than {request.limit} bytes")
                return Reply(response.status, _lower(response.headers), bytes(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            return _no_reply(exc)

    async def open(self, request: Open) -> tuple[Reply | NoReply, AiohttpStream | None]:
        """See carrier.Transport."""
        try:
            response = await self._http.post(
                self._checked(request.url),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            return _no_reply(exc), None
        return Reply(response.status, _lower(response.headers)), AiohttpStream(response)

    async def close(self) -> None:
        """See carrier.Transport."""
        await self._http.close()

    def _checked(self, url: str) -> str:
        """aiohttp asks no resolver for an address written as numbers, so those are checked here."""
        host = URL(url).host or ""
        is_numeric = ":" in host or host.replace(".", "").isdigit()
        if self._guard and is_numeric and not is_global(host):
            raise aiohttp.InvalidURL(url, "not a public address")
        return url


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _no_reply(exc: Exception) -> NoReply:
    return NoReply(not isinstance(exc, _NEVER_SENT), f"{type(exc).__name__}: {exc}")
