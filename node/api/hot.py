"""The paid routes as raw ASGI: the framework's own machinery costs more than the rest of a request together.

Turns HTTP into `services.caller.Caller` and nothing else; every decision is the service's.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from node.api.errors import error_document, retry_after, shown
from node.core.errors import BadRequest, Broken, TooLarge, WwwserveError
from node.services.caller import StreamEnd
from node.services.serve import Serving
from node.services.sse import DONE, comment, data_event
from node.services.x402 import SignedReceipt

MAX_BODY_BYTES = 8 * 1024 * 1024
"""By counted bytes: a content-length is the caller's claim, and chunked bodies have none (threat H4)."""
RECEIPT_COMMENT = b"wwwserve-receipt "
JSON_TYPE = (b"content-type", b"application/json")
STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
log = logging.getLogger(__name__)


class HttpCaller:
    """One request's HTTP side."""

    __slots__ = ("_body", "_has_started", "_on_gone", "_receive", "_send", "_watcher", "is_gone")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._body: bytes | None = None
        self._has_started = False
        self._watcher: asyncio.Task[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self.is_gone = False

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Watch for the hang-up from now on."""
        self._on_gone = callback
        if self.is_gone:
            callback()
        elif self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def read_body(self) -> bytes:
        """The body, kept for a second reader."""
        if self._body is None:
            self._body = await self._read_body()
        return self._body

    async def write(self, block: bytes) -> None:
        """Events; the first ones open the stream."""
        if not self._has_started:
            self._has_started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        await self._send({"type": "http.response.body", "body": block, "more_body": True})

    async def end_stream(self, end: StreamEnd) -> None:
        """Error or usage, then the receipt, then [DONE]; without a receipt the stream stays visibly unfinished."""
        tail = b""
        if end.error is not None:
            tail = data_event(error_document(end.error))
        elif end.usage_event is not None:
            tail = data_event(end.usage_event)
        if end.receipt is not None:
            tail += comment(RECEIPT_COMMENT + end.receipt.to_header()) + DONE + b"\n\n"
        await self.write(tail)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, body: bytes, receipt: SignedReceipt) -> None:
        """A plain answer with its receipt in the header."""
        await self._respond(200, body, [(b"payment-response", receipt.to_header())])

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
            headers.append((b"payment-required", base64.b64encode(orjson.dumps(demand))))
        if receipt is not None:
            headers.append((b"payment-response", receipt.to_header()))
        if (seconds := retry_after(error)) is not None:
            headers.append((b"retry-after", seconds.encode()))
        if isinstance(error, TooLarge):
            headers.append((b"connection", b"close"))
        receipt_member = {"payment": receipt.to_json()} if receipt else {}
        body = orjson.dumps({**error_document(error), **(demand or {}), **receipt_member})
        await self._respond(shown(error).status, body, headers)

    async def _respond(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._send({"type": "http.response.start", "status": status, "headers": [JSON_TYPE, length, *headers]})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _read_body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                raise BadRequest("the caller hung up before the body was complete")
            part = message.get("body", b"")
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise TooLarge(f"a body may have {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _watch(self) -> None:
        """Ends with the response: the server then reports a disconnect, which changes nothing any more."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
            if self._on_gone is not None:
                self._on_gone()


class PaidRoutes:
    """An ASGI endpoint over the serve service."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The outermost loop of a request: what nobody foresaw is logged and answered with a bare 500."""
        caller = HttpCaller(receive, send)
        try:
            header = payment_header(scope["headers"])
            await self._serving.serve(scope["path"], header, caller)
        except WwwserveError as error:
            await caller.refuse(error)
        except Exception:  # the outermost loop of a request (house rule 18)
            log.exception("a paid request failed")
            await caller.refuse(Broken("internal error"))


def payment_header(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The one payment header. Two would let a proxy and this node read different ones."""
    found = [value for name, value in headers if name == b"payment-signature"]
    if len(found) > 1:
        raise BadRequest("more than one PAYMENT-SIGNATURE header", param="PAYMENT-SIGNATURE")
    return found[0] if found else None
