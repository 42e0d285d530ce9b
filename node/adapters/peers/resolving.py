"""Names to addresses, once a connection and before it: all addresses of a name must be allowed, or none is used.

A name that changes its addresses between a check and a use (rebinding) gains nothing: what was checked is what is
connected to, as a number.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from node.core.endpoints import Endpoint, EndpointRules, check_address
from node.core.errors import PeerFailed

THREADS = 4
RESOLVE_SECONDS = 3.0
KEEP_SECONDS = 30.0
"""How long an answer is used again; a failure as long, so that slow name servers do not occupy all threads."""
MAX_NAMES = 16_384
MAX_ADDRESSES = 8


class Resolver(Protocol):
    """Names to numbers."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Addresses in order of preference, unchecked. Raises OSError."""
        ...


class SystemResolver:
    """The host's own, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="resolve")
        self._known: dict[tuple[str, int], tuple[float, Sequence[str]]] = {}

    def close(self) -> None:
        """Wait for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Remembered for a little while."""
        now = time.monotonic()
        known = self._known.get((host, port))
        if known is not None and known[0] > now:
            return known[1]
        try:
            found = await self._ask(host, port)
        except (OSError, TimeoutError, UnicodeError):
            found = ()
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[host, port] = (now + KEEP_SECONDS, found)
        return found

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(RESOLVE_SECONDS):
            rows = await loop.run_in_executor(self._threads, _look_up, host, port)
        return tuple(dict.fromkeys(str(row[4][0]) for row in rows))


def _look_up(host: str, port: int) -> list[tuple[object, object, object, object, tuple[object, ...]]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]


async def pinned_addresses(endpoint: Endpoint, rules: EndpointRules, resolver: Resolver) -> Sequence[str]:
    """The addresses to connect to. Raises PeerFailed when there is none, or when any of them is not allowed."""
    try:
        found = await resolver.resolve(endpoint.host, endpoint.port)
    except OSError as exc:
        raise PeerFailed("a peer's name does not resolve") from exc
    if not found:
        raise PeerFailed("a peer's name does not resolve")
    return [str(check_address(one, rules)) for one in found][:MAX_ADDRESSES]
