"""A TCP proxy before a node's public endpoint: what peers reach it through, and what a test partitions.

A whole node, or one link: connections are told apart by who opens them (`identify`, see links.py).
"""

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link(Enum):
    """What the proxy does with bytes."""

    OPEN = "open"
    SILENT = "silent"
    """Connections are taken and nothing passes, as with a partition: nobody is told."""


class Proxy:
    """One port in front of another."""

    def __init__(self, target_port: int, identify: Callable[[int], str] = lambda _: "") -> None:
        self._target = target_port
        self._identify = identify
        self._links: dict[str, asyncio.Event] = {}
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def point_to(self, port: int) -> None:
        """The node's port, once it is known."""
        self._target = port

    def set(self, link: Link) -> None:
        """From now on."""
        if link is Link.OPEN:
            self._passing.set()
        else:
            self._passing.clear()

    def cut(self, source: str) -> None:
        """Nothing passes from this one any more, nor back; everybody else is served."""
        self._link_of(source).clear()

    def mend(self, source: str) -> None:
        """As before."""
        self._link_of(source).set()

    def _link_of(self, source: str) -> asyncio.Event:
        if source not in self._links:
            self._links[source] = asyncio.Event()
            self._links[source].set()
        return self._links[source]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            port = writer.get_extra_info("peername")[1]
            link = self._link_of(await asyncio.to_thread(self._identify, port))
            await self._pass(link)
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                await self._both((reader, writer), (there, back), link)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, link: asyncio.Event) -> None:
        await self._passing.wait()
        await link.wait()

    async def _both(self, near: Ends, far: Ends, link: asyncio.Event) -> None:
        (reader, writer), (there, back) = near, far
        pumps = [
            asyncio.create_task(self._pump(reader, back, link)),
            asyncio.create_task(self._pump(there, writer, link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                await self._pass(link)
                writer.write(piece)
                await writer.drain()
