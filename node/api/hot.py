"""The paid routes straight on the server's connection: the framework's machinery would cost more than all the rest.

Turns HTTP into `services.caller.Caller` and nothing else; every decision is the service's. Writes as few times as there
is something to say: each write is a system call and, on the other side, a wake-up.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import orjson

from node.api.errors import error_document, retry_after, shown
from node.core.errors import BadRequest, Broken, TooLarge, WwwserveError
from node.core.prompt import CHAT, COMPLETION
from node.core.records import record
from node.services.caller import StreamEnd
from node.services.serve import Serving
from node.services.sse import DONE, comment, data_event
from node.services.x402 import SignedReceipt

PAID_PATHS = {CHAT.encode(): CHAT, COMPLETION.encode(): COMPLETION}
MAX_BODY_BYTES = 8 * 1024 * 1024
"""By counted bytes: a content-length is the caller's claim, and chunked bodies have none (threat H4)."""
UNREAD_BYTES = 64 * 1024
"""A body that nobody wants yet may fill this much."""
RECEIPT_COMMENT = b"wwwserve-receipt "
CLOSE = b"connection: close\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n"
)
log = logging.getLogger(__name__)


class Flow(Protocol):
    """Whether either side of a connection should wait: uvicorn's `FlowControl`."""

    write_paused: bool

    async def drain(self) -> None:
        """Until the caller reads again, or is gone."""

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""

    def resume_reading(self) -> None:
        """Take them again."""


class Line(Protocol):
    """The connection, as far as an exchange needs it."""

    @property
    def transport(self) -> asyncio.Transport:
        """Where to write."""

    @property
    def flow(self) -> Flow:
        """Whether to wait."""

    def on_response_complete(self) -> None:
        """The next request may be answered."""


@record
class Head:
    """A request without its body."""

    path: str
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    expects_continue: bool


class PaidExchange:
    """One paid request: `services.caller.Caller` for the service, and what uvicorn calls a cycle for the connection."""

    __slots__ = (
        "_body",
        "_expects_continue",
        "_has_started",
        "_is_whole",
        "_line",
        "_on_gone",
        "_reader",
        "_size",
        "head",
        "is_gone",
        "keep_alive",
        "response_complete",
    )

    def __init__(self, line: Line, head: Head) -> None:
        self._line = line
        self.head = head
        self.keep_alive = head.keep_alive
        self._expects_continue = head.expects_continue
        self._body: list[bytes] = []
        self._size = 0
        self._is_whole = self._has_started = self.is_gone = self.response_complete = False
        self._reader: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None

    # The connection's side

    async def run_asgi(self, routes: "PaidRoutes") -> None:
        """The task of this request. Whatever happened, the connection does not wait for an answer that never comes."""
        try:
            await routes.answer(self)
        finally:
            if not self.response_complete and not self.is_gone:
                self._line.transport.close()

    def add_body(self, part: bytes) -> None:
        """Bytes of the body."""
        if self.response_complete or self._size > MAX_BODY_BYTES:
            return
        self._body.append(part)
        self._size += len(part)
        if self._size > UNREAD_BYTES and self._reader is None:
            self._line.flow.pause_reading()
        if self._size > MAX_BODY_BYTES:
            self._wake()

    def end_body(self) -> None:
        """That was all of it."""
        self._is_whole = True
        self._wake()

    def lose(self) -> None:
        """The caller is gone."""
        if self.response_complete:
            return
        self.is_gone = True
        self._wake()
        if self._on_gone is not None:
            self._on_gone()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # The service's side

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Tell of the hang-up from now on."""
        self._on_gone = callback
        if self.is_gone:
            callback()

    async def read_body(self) -> bytes:
        """The body, kept for a second reader."""
        if not self._is_whole and self._size <= MAX_BODY_BYTES and not self.is_gone:
            await self._receive()
        if self._size > MAX_BODY_BYTES:
            raise TooLarge(f"a body may have {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)
        if not self._is_whole:
            raise BadRequest("the caller hung up before the body was complete")
        if len(self._body) != 1:
            self._body = [b"".join(self._body)]
        return self._body[0]

    async def _receive(self) -> None:
        if self._expects_continue:
            self._expects_continue = False
            self._line.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._reader = asyncio.get_running_loop().create_future()
        self._line.flow.resume_reading()
        await self._reader

    def write(self, block: bytes) -> bool:
        """Events; the first ones open the stream. False once the caller's buffer is full."""
        if self.is_gone:
            return True
        self._line.transport.write(_chunk(block) if self._has_started else self._opening() + _chunk(block))
        return not self._line.flow.write_paused

    async def drain(self) -> None:
        """Until the caller reads again, or is gone."""
        if self._line.flow.write_paused and not self.is_gone:
            await self._line.flow.drain()

    async def end_stream(self, end: StreamEnd) -> None:
        """Error or usage, then the receipt, then [DONE]; without a receipt the stream stays visibly unfinished."""
        tail = b""
        if end.error is not None:
            tail = data_event(error_document(end.error))
        elif end.usage_event is not None:
            tail = data_event(end.usage_event)
        if end.receipt is not None:
            tail += comment(RECEIPT_COMMENT + end.receipt.to_header()) + DONE + b"\n\n"
        await self.drain()
        self._finish(self._opening() + (_chunk(tail) if tail else b"") + b"0\r\n\r\n")

    async def answer(self, body: bytes, receipt: SignedReceipt) -> None:
        """A plain answer with its receipt in the header."""
        self._respond(200, body, b"payment-response: " + receipt.to_header() + b"\r\n")

    async def refuse(
        self,
        error: WwwserveError,
        demand: Mapping[str, Any] | None = None,
        receipt: SignedReceipt | None = None,
    ) -> None:
        """An error document; inside a stream that has begun, an error event and no [DONE]."""
        if shown(error).status == 500:
            log.error("refused with an internal error", exc_info=error)
        if self._has_started:
            await self.end_stream(StreamEnd(error, None, receipt))
            return
        headers = []
        if demand is not None:
            headers.append(b"payment-required: " + base64.b64encode(orjson.dumps(demand)))
        if receipt is not None:
            headers.append(b"payment-response: " + receipt.to_header())
        if (seconds := retry_after(error)) is not None:
            headers.append(b"retry-after: " + seconds.encode())
        if isinstance(error, TooLarge):
            self.keep_alive = False
        receipt_member = {"payment": receipt.to_json()} if receipt else {}
        body = orjson.dumps({**error_document(error), **(demand or {}), **receipt_member})
        self._respond(shown(error).status, body, b"".join(header + b"\r\n" for header in headers))

    def _opening(self) -> bytes:
        """The stream's head, once."""
        if self._has_started:
            return b""
        self._has_started = True
        return STREAM_HEAD + (b"\r\n" if self.keep_alive else CLOSE + b"\r\n")

    def _respond(self, status: int, body: bytes, headers: bytes) -> None:
        self._has_started = True
        self._finish(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b%b\r\n%b"
            % (status, _PHRASES[status], len(body), headers, b"" if self.keep_alive else CLOSE, body)
        )

    def _finish(self, block: bytes) -> None:
        """The last write of an answer."""
        if self.is_gone or self.response_complete:
            return
        self.response_complete = True
        self._on_gone = None
        self._line.transport.write(block)
        if not self.keep_alive:
            self._line.transport.close()
        self._line.on_response_complete()


_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def _chunk(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)


class PaidRoutes:
    """The serve service behind the paid paths."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def answer(self, exchange: PaidExchange) -> None:
        """The outermost loop of a request: what nobody foresaw is logged and answered with a bare 500."""
        try:
            header = payment_header(exchange.head.headers)
            await self._serving.serve(exchange.head.path, header, exchange)
        except WwwserveError as error:
            await exchange.refuse(error)
        except Exception:  # the outermost loop of a request (house rule 18)
            log.exception("a paid request failed")
            await exchange.refuse(Broken("internal error"))


def payment_header(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The one payment header. Two would let a proxy and this node read different ones."""
    found = [value for name, value in headers if name == b"payment-signature"]
    if len(found) > 1:
        raise BadRequest("more than one PAYMENT-SIGNATURE header", param="PAYMENT-SIGNATURE")
    return found[0] if found else None
