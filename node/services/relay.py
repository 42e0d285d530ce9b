"""Step 5: bytes from the engine to the caller, with what is needed to bill them. Knows no ledger and signs nothing.

The first event is read before the caller sees a status line, so that an engine's error inside a 200 becomes a status.
"""

import asyncio
import contextlib
from functools import cache
from typing import cast

import orjson

from node.core.billing import Ending
from node.core.errors import BadRequest, EngineFailed, Overloaded, WwwserveError
from node.core.types import TokenCount
from node.ports.engine import BoughtExchange, Exchange, LiveExchange
from node.services.answer import Answer
from node.services.caller import Caller
from node.services.sse import EventSplitter

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""No honest answer is larger; a runaway engine is cut here (threat H7)."""
MAX_ERROR_BYTES = 64 * 1024
PASSED_ON = frozenset({400, 413, 422})
"""Engine statuses that speak of the caller's parameters."""
BUSY = frozenset({429, 503})


class Relay:
    """One exchange with an engine and what came of it."""

    def __init__(self, exchange: Exchange, *, is_stream: bool, is_peer: bool = False) -> None:
        self._exchange = exchange
        self._is_stream = is_stream
        self.is_peer = is_peer
        """Whether it was bought: its own numbers say nothing of what it cost."""
        self._splitter = EventSplitter()
        self._size = 0
        self._first = b""
        self.answer = Answer()
        self.body: dict[str, object] = {}
        self.error: WwwserveError | None = None
        self.is_cut = False
        """Whether we dropped the engine because the caller hung up."""
        self._is_over = False

    @property
    def usage_event(self) -> dict[str, object] | None:
        """The engine's held-back usage event."""
        return self._splitter.usage_event

    def cut(self) -> None:
        """The caller is gone: stop the engine, keep what has come."""
        if self._is_over:
            return
        self.is_cut = True
        if isinstance(self._exchange, BoughtExchange):
            self._exchange.hang_up()
        else:
            self._exchange.cancel()

    async def owed(self) -> TokenCount | None:
        """What a peer proves that this answer cost us, if the caller left it; None where nothing more is known."""
        if self.is_cut and isinstance(self._exchange, BoughtExchange):
            return await self._exchange.owed()
        return None

    async def open(self) -> None:
        """Status and first event, or the whole plain body. Raises what the caller should see instead of an answer."""
        status = await self._exchange.start()
        if status != 200:
            raise refusal_of(status, await self._read_error())
        if self._is_stream:
            await self._read_first()
        else:
            await self._read_body()

    async def pump(self, caller: Caller) -> None:
        """Pass on every event up to the tail. Never raises EngineFailed: see `error`."""
        try:
            may_go_on = self._pass_on(self._first, caller)
            while not self._splitter.is_done:
                if not may_go_on:
                    await caller.drain()
                if _is_live(type(self._exchange)):
                    may_go_on = await self._listen(cast("LiveExchange", self._exchange), caller)
                else:
                    may_go_on = self._pass_on(self._splitter.feed(await self._more()), caller)
            # All has been said: a hang-up from here on cuts nothing short.
            self._is_over = True
            self._fail_if_refused()
            await self._drain()
        except EngineFailed as exc:
            self.error = exc
            self._exchange.cancel()
        if self._splitter.usage_event is not None:
            self.answer.add_body(self._splitter.usage_event)
        self._is_over = True

    def ending(self) -> Ending:
        """Which row of the billing table this is."""
        try:
            has_text = bool(self.answer.texts())
        except EngineFailed as exc:
            self.error, has_text = exc, False
        if self.is_cut:
            return Ending.HUNG_UP if has_text else Ending.HUNG_UP_EARLY
        if not has_text:
            return Ending.FAILED_EARLY
        if self.error is not None or not self.answer.is_finished:
            return Ending.FAILED_LATE
        return Ending.FINISHED

    def _pass_on(self, block: bytes, caller: Caller) -> bool:
        """Whole events. False when the caller is too slow for more."""
        if not block:
            return True
        self.answer.add_events(block)
        return caller.write(block)

    async def _listen(self, exchange: LiveExchange, caller: Caller) -> bool:
        """Pass events on in the very turn of the loop that brings them, up to the tail or until the caller is slow.

        A task that waits for each event costs several times as much as passing it on.
        """
        over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        feed = self._splitter.feed

        def on_more() -> bool:
            """Whether there was something to take."""
            if over.done():
                return False
            try:
                raw = exchange.take()
                if raw is None:
                    return False
                may_go_on = self._pass_on(feed(self._checked(raw)), caller)
            except EngineFailed as exc:
                over.set_exception(exc)
                return False
            if self._splitter.is_done or not may_go_on:
                over.set_result(may_go_on)
            return True

        exchange.listen(on_more)
        try:
            while on_more():  # what came before anybody listened
                pass
            return await over
        finally:
            exchange.listen(None)

    def _checked(self, raw: bytes) -> bytes:
        """A stream that ends before its [DONE] was cut short (threat H6)."""
        if not raw:
            raise EngineFailed("the engine's stream ended without [DONE]")
        return self._counted(raw)

    def _counted(self, raw: bytes) -> bytes:
        self._size += len(raw)
        if self._size > MAX_ANSWER_BYTES:
            raise EngineFailed("the engine's answer has no end")
        return raw

    async def _next(self) -> bytes:
        return self._counted(await self._exchange.read())

    async def _more(self) -> bytes:
        return self._checked(await self._exchange.read())

    async def _read_first(self) -> None:
        while not self._splitter.has_events:
            self._first += self._splitter.feed(await self._more())
        if self._splitter.error is not None and not self._first:
            error = self._splitter.error
            self._exchange.cancel()
            code = error.get("code")
            raise refusal_of(code if isinstance(code, int) else 500, error)

    def _fail_if_refused(self) -> None:
        if self._splitter.error is not None:
            raise EngineFailed("the engine failed in the middle of the answer")

    async def _drain(self) -> None:
        """Take the end of the body, so that the connection can be used again; a bad end of it harms nobody any more."""
        with contextlib.suppress(EngineFailed):
            while await self._next():
                pass

    async def _read_body(self) -> None:
        parts = []
        while raw := await self._next():
            parts.append(raw)
        self._is_over = True
        try:
            fields = orjson.loads(b"".join(parts))
        except orjson.JSONDecodeError as exc:
            raise EngineFailed("the engine's answer is not JSON") from exc
        if not isinstance(fields, dict) or not isinstance(fields.get("choices"), list):
            raise EngineFailed("the engine's answer has no choices")
        self.answer.add_body(fields)
        self.body = fields

    async def _read_error(self) -> dict[str, object]:
        parts: list[bytes] = []
        while self._size <= MAX_ERROR_BYTES and (raw := await self._next()):
            parts.append(raw)
        self._exchange.cancel()
        try:
            fields = orjson.loads(b"".join(parts))
        except orjson.JSONDecodeError:
            return {}
        error = fields.get("error") if isinstance(fields, dict) else None
        return error if isinstance(error, dict) else {}


@cache
def _is_live(kind: type[Exchange]) -> bool:
    """Asked once a kind: a protocol takes 20 us to look through an object's methods."""
    return issubclass(kind, LiveExchange)


def refusal_of(status: int, error: dict[str, object]) -> WwwserveError:
    """An engine's refusal in our words. Its text is passed on only where it speaks of the caller's own parameters."""
    if status in BUSY:
        return Overloaded("the engine's queue is full", retry_after=1)
    if status in PASSED_ON:
        text = error.get("message")
        words = "".join(c for c in text if c.isprintable())[:300] if isinstance(text, str) else ""
        return BadRequest(words or "the engine refuses these parameters")
    return EngineFailed("the engine could not serve this request", engine_status=status)
