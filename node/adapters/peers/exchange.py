"""One streamed request to a peer: `ports.network.PeerExchange`. Deadlines, byte cap, truncation; cancel = close.

Raises EngineFailed for everything, so that the code that relays an engine relays a peer.
"""

import asyncio
from collections.abc import Awaitable, Callable

from node.adapters.http1 import Connection
from node.adapters.peers.dialing import read_head
from node.core.errors import EngineFailed, PeerFailed
from node.ports.network import StreamCall

DONE = b"data: [DONE]"
END_SECONDS = 1.0
_FINISHING: set[asyncio.Task[None]] = set()
"""A task that nobody refers to may vanish."""


class PeerStream:
    """See module. `begin` makes a proven connection and writes the request."""

    def __init__(self, call: StreamCall, begin: Callable[[], Awaitable[Connection]]) -> None:
        self._call = call
        self._begin = begin
        self._connection: Connection | None = None
        self._dialing: asyncio.Future[Connection] | None = None
        self._is_cancelled = False
        self._has_ended = False
        self._size = 0
        self._tail = b""
        self._end_at = 0.0

    def header(self, name: str) -> str | None:
        """A field of the answer's head that this adapter reads at all."""
        return None if self._connection is None else self._connection.headers.get(name)

    async def start(self) -> int:
        """Connect, prove, send; the status. Raises EngineFailed."""
        loop = asyncio.get_running_loop()
        self._end_at = loop.time() + self._call.total_seconds
        try:
            async with asyncio.timeout_at(min(loop.time() + self._call.first_byte_seconds, self._end_at)):
                status = await self._send()
        except TimeoutError as exc:
            self.cancel()
            raise EngineFailed("a peer took too long") from exc
        except BaseException:
            self.cancel()
            raise
        return status

    async def read(self) -> bytes:
        """The next body bytes; b"" at the proper end. Raises EngineFailed."""
        if self._connection is None or self._is_cancelled:
            raise EngineFailed("this exchange is not open")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(loop.time() + self._call.idle_seconds, self._end_at)):
                data = await self._connection.read()
            self._check(data)
        except TimeoutError as exc:
            self.cancel()
            raise EngineFailed("a peer took too long") from exc
        except BaseException:
            self.cancel()
            raise
        self._has_ended |= not data
        return data

    def cancel(self) -> None:
        """Close the connection, or stop making one. After `[DONE]` only the end of the answer is waited for."""
        self._is_cancelled = True
        if self._dialing is not None:
            self._dialing.cancel()
        if self._connection is None or self._has_ended:
            return  # what was given back may be somebody else's by now
        self._has_ended = True
        if not self._is_at_done():
            self._connection.abort("cancelled")
            return
        finishing = asyncio.get_running_loop().create_task(_read_end(self._connection))
        _FINISHING.add(finishing)
        finishing.add_done_callback(_FINISHING.discard)

    async def _send(self) -> int:
        connection = self._connection = await self._connected()
        try:
            return await read_head(connection)
        except PeerFailed as exc:
            raise EngineFailed(exc.message) from exc

    async def _connected(self) -> Connection:
        if self._is_cancelled:
            raise EngineFailed("cancelled")
        dialing = self._dialing = asyncio.ensure_future(self._begin())
        try:
            await asyncio.wait([dialing])
        except asyncio.CancelledError:
            if not dialing.cancel() and dialing.exception() is None:
                dialing.result().abort("cancelled")
            raise
        if dialing.cancelled():  # by our own `cancel`
            raise EngineFailed("cancelled")
        try:
            return dialing.result()
        except PeerFailed as exc:
            raise EngineFailed(exc.message) from exc

    def _check(self, data: bytes) -> None:
        """Counted bytes; and a stream of events that ends properly for HTTP may still have been cut (threat H6)."""
        self._size += len(data)
        if self._size > self._call.max_bytes:
            raise EngineFailed("a peer's answer has no end")
        if data:
            self._tail = (self._tail + data)[-64:]
        elif self._is_events() and not self._is_at_done():
            raise EngineFailed("a peer's stream ended without [DONE]")

    def _is_events(self) -> bool:
        return (self.header("content-type") or "").startswith("text/event-stream")

    def _is_at_done(self) -> bool:
        return self._is_events() and self._tail.rstrip(b"\r\n").rpartition(b"\n")[2] == DONE


async def _read_end(connection: Connection) -> None:
    """What follows `[DONE]` is the end of the answer: with it the connection can be kept, and proven only once."""
    try:
        async with asyncio.timeout(END_SECONDS):
            rest = await connection.read()
    except (EngineFailed, TimeoutError):
        rest = DONE
    if rest:
        connection.abort("more than an answer")
