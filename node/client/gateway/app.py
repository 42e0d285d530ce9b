"""The gateway's HTTP routes: OpenAI in, a paid flow behind, hang-ups passed on. It decides nothing about money."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from node.client.books import Books, Held
from node.client.carrier import Carrier, World, run
from node.client.catalogue import Catalogue, list_models
from node.client.effects import HungUp
from node.client.gateway.errors import document_of, event_of, headers_of, status_of
from node.client.gateway.guard import ForeignCaller, Guard
from node.client.gateway.retries import RETRY_SECONDS, Answers, Kept, RetryMark, choose_earlier, retry_mark
from node.client.gateway.status import read_status
from node.client.payer import Payer
from node.client.payflow import Answer, buy
from node.client.provider import Directory
from node.client.quote import Ask, parse_ask
from node.client.trade import now_of
from node.client.verify import Problem
from node.core.errors import BadRequest, Broken, InProgress, TooLarge, WwwserveError
from node.core.prompt import CHAT, COMPLETION
from node.core.types import Bytes32, Seconds

MAX_BODY_BYTES = 8 << 20
JSON_TYPE, STREAM_TYPE = "application/json", "text/event-stream; charset=utf-8"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Gateway:
    """One owner's gateway: what it pays with, whom it asks, and what is under way."""

    payer: Payer
    world: World
    guard: Guard
    providers: Callable[[], Sequence[str]]
    directory: Directory = field(default_factory=Directory)
    answers: Answers = field(default_factory=Answers)
    asks: list[Ask] = field(default_factory=list)
    """Requests whose callers are still there."""
    carriers: set[Carrier[Any]] = field(default_factory=set)

    def live(self) -> set[Bytes32]:
        """The request ids that somebody waits for."""
        return {request_id for ask in self.asks for request_id in ask.ids}

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guarded])
        app.router.add_post(CHAT, self._buy)
        app.router.add_post(COMPLETION, self._buy)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/balance", self._status)
        app.router.add_get("/healthz", self._health)
        return app

    # ---------------------------------------------------------------------------------------- the outermost loop
    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self.guard.check_place(request.headers)
            if request.path != "/healthz":
                self.guard.check_key(request.headers)
            return await handler(request)
        except WwwserveError as error:
            return _error_response(error)
        except web.HTTPException as exc:
            return _error_response(_plain_error(exc), exc.status)
        except Exception:  # the outermost loop of a request (house rule 18)
            log.exception("a request failed")
            return _error_response(Broken("internal error: see the gateway's log"))

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, _request: web.Request) -> web.Response:
        flow = list_models(self.providers(), self.payer, self.directory)
        found: Catalogue = await run(flow, self.world)
        return web.json_response(found.to_json())

    async def _status(self, _request: web.Request) -> web.Response:
        read = partial(read_status, limits=self.payer.limits, now=now_of(self.payer))
        return web.json_response(await self.world.wallet.run(read))

    # ---------------------------------------------------------------------------------------------------- buying
    async def _buy(self, request: web.Request) -> web.StreamResponse:
        mark = retry_mark(request.headers)
        ask = parse_ask(request.path, await _read_body(request), mark.key)
        if mark.key and any((one.retry_key, one.body_hash) == (mark.key, ask.body_hash) for one in self.asks):
            raise _being_served()
        self.asks.append(ask)
        try:
            return await self._answer(request, ask, await self._earlier(ask, mark))
        finally:
            self.asks[:] = [one for one in self.asks if one is not ask]

    async def _answer(self, request: web.Request, ask: Ask, earlier: Held | None) -> web.StreamResponse:
        if earlier is not None:
            kept = self.answers.find(earlier.purchase.request_id, self.payer.tools.clock.now())
            if kept is not None:
                return web.Response(body=kept.body, headers={"content-type": kept.content_type})
            ask.ids.append(earlier.purchase.request_id)
        carrier = Carrier(buy(ask, self.payer, self.providers(), self.directory, earlier), self.world)
        self.carriers.add(carrier)
        carrier.task.add_done_callback(lambda _: self.carriers.discard(carrier))
        try:
            return await (self._stream(request, ask, carrier) if ask.is_stream else self._plain(ask, carrier))
        finally:
            carrier.hang_up()  # a no-op when all is done; else the caller has gone

    async def _earlier(self, ask: Ask, mark: RetryMark) -> Held | None:
        """The purchase that a retry repeats. Raises InProgress for an Idempotency-Key that is being served."""
        if not mark.is_retry:
            return None
        since = Seconds(now_of(self.payer) - RETRY_SECONDS)
        find = partial(Books.find_retried, body_hash=ask.body_hash, retry_key=mark.key, since=since)
        found: list[Held] = await self.world.wallet.run(find)
        earlier = choose_earlier(found, self.live())
        if earlier is None and mark.key and found:
            raise _being_served()
        return earlier

    async def _plain(self, ask: Ask, carrier: Carrier[Answer]) -> web.Response:
        answer = await _result(carrier)
        self._keep(ask, JSON_TYPE, answer.body)
        return web.Response(body=answer.body, content_type=JSON_TYPE)

    async def _stream(self, request: web.Request, ask: Ask, carrier: Carrier[Answer]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": STREAM_TYPE, "cache-control": "no-cache"})
        sent: list[bytes] = []
        try:
            async for part in carrier.parts():
                if not sent:
                    await response.prepare(request)
                sent.append(part)
                await response.write(part)
            await _result(carrier)
        except WwwserveError as error:
            if not sent:
                raise
            await response.write(event_of(error))
        except ConnectionResetError:  # the caller has gone between two writes
            return response
        else:
            self._keep(ask, STREAM_TYPE, b"".join(sent))
            await response.write_eof()
        return response

    def _keep(self, ask: Ask, content_type: str, body: bytes) -> None:
        if ask.ids:
            self.answers.keep(ask.ids[-1], Kept(content_type, body, self.payer.tools.clock.now()))

    async def close(self) -> None:
        """Stop what is under way as a crash would; the wallet knows it and the next start sweeps."""
        await asyncio.gather(*(carrier.kill() for carrier in self.carriers))
        await self.world.transport.close()
        self.world.wallet.close()


def _being_served() -> InProgress:
    return InProgress("this Idempotency-Key is being served now", retry_after=1)


async def _result(carrier: Carrier[Answer]) -> Answer:
    try:
        return await carrier.result()
    except HungUp:
        raise asyncio.CancelledError from None
    except Problem as problem:
        raise Broken(problem.message) from problem


async def _read_body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise TooLarge(f"a body may have {MAX_BODY_BYTES} bytes", limit=MAX_BODY_BYTES) from exc


def _plain_error(exc: web.HTTPException) -> WwwserveError:
    return BadRequest(f"{exc.reason}: the routes are {CHAT}, {COMPLETION}, /v1/models, /v1/balance and /healthz")


def _error_response(error: WwwserveError, status: int | None = None) -> web.Response:
    headers = headers_of(error)
    if isinstance(error, ForeignCaller):
        headers["connection"] = "close"
    return web.json_response(document_of(error), status=status or status_of(error), headers=headers)
