"""Drives a flow on an event loop, apart from whoever asked: when the asker goes, the flow still tidies up.

The flow runs in a task of its own and hands over bytes through a bounded queue, so that a slow reader slows the
provider and never fills memory (threat H7). Decides nothing about money.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from node.client.effects import (
    Compute,
    Effect,
    Emit,
    Fail,
    Fetch,
    Flow,
    GaveUp,
    HungUp,
    InWallet,
    NoReply,
    Open,
    Read,
    ReadOperator,
    ReadPayee,
    Reply,
    Shut,
    Sleep,
)
from node.client.escrow import EscrowReader
from node.client.store import WalletWriter
from node.client.verify import Problem
from node.core.errors import Broken, WwwserveError

T = TypeVar("T")
QUEUE_PARTS = 64
INLINE_BYTES = 16 * 1024
"""Counting this much takes a few ms; more is done in a thread."""
_END = b""


class Stream(Protocol):
    """An opened reply."""

    async def read(self) -> bytes | NoReply:
        """The next bytes, b"" at the end."""

    async def close(self) -> None:
        """Hang up."""


class Transport(Protocol):
    """An HTTP client library."""

    async def fetch(self, request: Fetch) -> Reply | NoReply:
        """A whole exchange."""

    async def open(self, request: Open) -> tuple[Reply | NoReply, Stream | None]:
        """POST; the reply's body is read from the stream."""

    async def close(self) -> None:
        """Release all connections."""


@dataclass(frozen=True, slots=True)
class World:
    """What effects are performed on."""

    wallet: WalletWriter
    chain: EscrowReader
    transport: Transport


class Carrier(Generic[T]):
    """One flow under way. Iterate over `parts()`, then `result()`; `hang_up()` when the asker has gone."""

    def __init__(self, flow: Flow[T], world: World) -> None:
        self._flow = flow
        self._world = world
        self._parts: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_PARTS)
        self._told: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._stream: Stream | None = None
        self._leaving: type[HungUp] | None = None
        self._is_killed = False
        self._is_waiting = False
        self.task = asyncio.create_task(self._run())

    async def parts(self) -> AsyncIterator[bytes]:
        """The bytes of the answer as they come; ends when the result is there."""
        while (part := await self.part()) is not None:
            yield part

    async def part(self) -> bytes | None:
        """The next bytes; None when the result is there or nobody wants more (`hang_up`)."""
        while not (self._parts.empty() and (self._told.done() or self.has_hung_up)):
            part = await self._parts.get()
            if part != _END:
                return part
        return None

    @property
    def has_hung_up(self) -> bool:
        """Whether the asker went before the end."""
        return self._leaving is not None

    async def result(self) -> T:
        """What the flow returned. Raises what it raised, or what it failed with while it still tidies up."""
        return await asyncio.shield(self._told)

    async def kill(self) -> None:
        """Stop at once, as a crash would: the wallet knows what was in flight, the next sweep asks for its receipts."""
        self._is_killed = True
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def hang_up(self) -> None:
        """The asker has gone: the flow closes the provider's stream and keeps books.

        Does nothing once the asker has been told the end: an answer that the provider cut is no hang-up of ours.
        """
        self._leave(HungUp)

    def give_up(self) -> None:
        """As `hang_up`, because the provider is silent or says what is no answer: it is owed what came, no more."""
        self._leave(GaveUp)

    def _leave(self, how: type[HungUp]) -> None:
        if self._leaving is None and not self._told.done():
            self._leaving = how
            self._wake()
            if self._is_waiting:
                self.task.cancel()

    async def _run(self) -> None:
        try:
            result = await self._drive()
        except (WwwserveError, Problem, HungUp) as exc:
            self._tell(exc, None)
        except BaseException as exc:
            self._tell(Broken(f"the pay flow stopped: {exc!r}"), None)
            raise
        else:
            self._tell(None, result)
        finally:
            await self._shut()

    def _tell(self, error: BaseException | None, result: Any) -> None:  # noqa: ANN401 -- T or None
        if not self._told.done():
            if error is None:
                self._told.set_result(result)
            else:
                self._told.set_exception(error)
                self._told.exception()  # mark as seen: after a hang-up nobody asks
        self._wake()

    def _wake(self) -> None:
        """A reader may wait for a part that will not come."""
        if self._parts.empty():
            self._parts.put_nowait(_END)

    async def _drive(self) -> T:
        value: Any = None
        error: BaseException | None = None
        is_thrown = False
        while True:
            try:
                effect = self._flow.send(value) if error is None else self._flow.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            value, error = None, None
            try:
                if self._leaving and not is_thrown and _is_interruptible(effect):
                    raise self._leaving  # the one place where a hang-up enters the flow
                value = await self._perform(effect, may_stop=not is_thrown)
            except HungUp as exc:
                error, is_thrown = exc, True
            except (WwwserveError, Problem) as exc:
                error = exc

    async def _perform(self, effect: Effect, *, may_stop: bool) -> Any:  # noqa: ANN401 -- each effect has its own
        if not _is_interruptible(effect):
            return await self._perform_fixed(effect)
        self._is_waiting = may_stop
        try:
            return await self._perform_waiting(effect)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._leaving and may_stop and not self._is_killed and task is not None:
                task.uncancel()
                raise self._leaving from None
            raise
        finally:
            self._is_waiting = False

    async def _perform_waiting(self, effect: Effect) -> Any:  # noqa: ANN401 -- as above
        match effect:
            case Read():
                return await self._stream.read() if self._stream is not None else b""
            case Emit(data):
                await self._parts.put(data)
            case Fetch():
                return await self._world.transport.fetch(effect)
            case Open():
                reply, self._stream = await self._world.transport.open(effect)
                return reply
            case Sleep(seconds):
                await asyncio.sleep(seconds)
        return None

    async def _perform_fixed(self, effect: Effect) -> Any:  # noqa: ANN401 -- as above
        match effect:
            case InWallet(action):
                return await self._world.wallet.run(action)
            case Compute(work, size):
                return work() if size <= INLINE_BYTES else await asyncio.to_thread(work)
            case ReadPayee(payee):
                return await asyncio.to_thread(self._world.chain.read_payee, payee)
            case ReadOperator(payee, generation):
                return await asyncio.to_thread(self._world.chain.read_operator, payee, generation)
            case Shut():
                await self._shut()
            case Fail(failure):
                self._tell(failure, None)
        return None

    async def _shut(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()


def _is_interruptible(effect: Effect) -> bool:
    return isinstance(effect, Read | Emit | Fetch | Open | Sleep)


async def run(flow: Flow[T], world: World) -> T:
    """Drive a flow whose bytes nobody wants (sweeps, lookups)."""
    carrier = Carrier(flow, world)
    try:
        async for _ in carrier.parts():
            continue
        return await carrier.result()
    finally:
        carrier.hang_up()
