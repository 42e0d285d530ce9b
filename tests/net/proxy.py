"""A TCP proxy before a node's public endpoint: what peers reach it through, and what a test partitions.

A whole node, or one link: connections are told apart by who opens them (`identify`, see links.py). Nobody is
identified while no link is cut: asked for every connection, the machine would do nothing else.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link(Enum):
    """What the proxy does with bytes."""

    OPEN = "open"
    SILENT = "silent"
    """Connections are taken and nothing passes, as with a partition: nobody is told."""


@dataclass(eq=False, slots=True)
class Wire:
    """One connection: the port it comes from, and whether anything passes."""

    port: int
    passing: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """One port in front of another."""

    def __init__(self, target_port: int, identify: Callable[[Collection[int]], dict[int, str]] = lambda _: {}) -> None:
        self._target = target_port
        self._identify = identify
        self._cut: set[str] = set()
        self._wires: set[Wire] = set()
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", port, ssl=tls)
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
        self._cut.add(source)
        self._judge(self._wires)

    def mend(self, source: str) -> None:
        """As before."""
        self._cut.remove(source)
        self._judge(self._wires)

    def _judge(self, wires: Collection[Wire]) -> None:
        sources = self._identify([wire.port for wire in wires]) if self._cut else {}
        for wire in wires:
            if sources.get(wire.port) in self._cut:
                wire.passing.clear()
            else:
                wire.passing.set()

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
        wire = Wire(writer.get_extra_info("peername")[1])
        self._wires.add(wire)
        try:
            self._judge([wire])
            await self._pass(wire)
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                await self._both((reader, writer), (there, back), wire)
        except asyncio.CancelledError:
            pass
        finally:
            self._wires.discard(wire)
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, wire: Wire) -> None:
        await self._passing.wait()
        await wire.passing.wait()

    async def _both(self, near: Ends, far: Ends, wire: Wire) -> None:
        (reader, writer), (there, back) = near, far
        pumps = [
            asyncio.create_task(self._pump(reader, back, wire)),
            asyncio.create_task(self._pump(there, writer, wire)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                await self._pass(wire)
                writer.write(piece)
                await writer.drain()
