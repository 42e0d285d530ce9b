"""One paid request, start to end: the seven steps of docs/architecture, in order, in `Serving._serve`.

The reservation is durable before the engine hears of the request (step 3), and the charge is durable before the receipt
is signed and sent (steps 6, 7), whoever hangs up in between. Knows no HTTP and no database: see `caller` and `parts`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson

from node.core.account import Admission
from node.core.errors import BadRequest, BooksStale, Draining, EngineFailed, MissingPayment, Overloaded, WwwserveError
from node.core.hashing import keccak
from node.core.pricing import completion_room
from node.core.types import Address, LaneKey, Status
from node.core.voucher import check_body
from node.services.admission import Checked, Door, Replayed
from node.services.backends import Backend
from node.services.caller import Caller, StreamEnd
from node.services.closing import Closer
from node.services.demands import PAYMENT_REFUSALS, build_demand, request_of
from node.services.parts import Parts, ServeSettings
from node.services.patience import Patience
from node.services.quoting import Quote, count_prompt, counter_of, quote_for
from node.services.relay import Relay
from node.services.request import Request, parse_request
from node.services.routes import OwnEngines, Route
from node.services.x402 import SignedReceipt, cost_of, parse_payment

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far a request has come, for whoever must explain a refusal."""

    path: str
    started_at: float
    key: LaneKey | None = None
    request: Request | None = None


@dataclass(slots=True)
class _Job:
    """An admitted request: from here on it ends with a receipt."""

    admission: Admission
    request: Request
    quote: Quote
    caller: Caller
    route: Route
    relay: Relay | None = None
    error: WwwserveError | None = None
    """Why no answer was started."""


class Serving:
    """The paid routes' one use case."""

    def __init__(self, parts: Parts, settings: ServeSettings) -> None:
        self._parts = parts
        self._settings = settings
        self._door = Door(parts)
        self._patience = Patience(settings.max_early_hangups, settings.early_hangup_seconds)
        self._background: set[asyncio.Task[None]] = set()
        self.closer = Closer(parts)
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0
        self._asking = 0
        """Refused callers whose body is still read, only to tell them its price: they take no paid request's place."""
        self.is_draining = False
        self.suspended = ""
        """Why nothing is sold now: services/recovery sets and lifts it."""

    async def serve(self, path: str, payment_header: bytes | None, caller: Caller) -> None:
        """Answer the caller, with a refusal if need be. Raises only what is a bug of ours."""
        progress = _Progress(path, self._parts.clock.monotonic())
        self.in_flight += 1
        self._idle.clear()
        try:
            await self._serve(progress, payment_header, caller)
        except Replayed as known:
            self._parts.observer.refused(known.error)
            await caller.refuse(known.error, receipt=known.receipt)
        except WwwserveError as error:
            self._parts.observer.refused(error)
            await self._refuse(error, progress, caller)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def _serve(self, progress: _Progress, payment_header: bytes | None, caller: Caller) -> None:
        self._check_room()
        # 1. A payment is checked before its body is read; then the body.
        if payment_header is None:
            raise MissingPayment("this route is paid: send a voucher in PAYMENT-SIGNATURE")
        checked = await self._door.check_payment(parse_payment(payment_header, self._parts.market))
        progress.key = checked.key
        self._patience.check(checked.key.payer, progress.started_at, checked.payment.terms.hops)
        progress.request = request = parse_request(progress.path, await caller.read_body())
        payment = checked.payment
        check_body(payment.terms, payment.salt, request.body, request.model, checked.model)
        # 2. The most it can cost. Counting is work, so it comes after all that is cheap (threat P15).
        counter = counter_of(self._parts.counters, checked.model)
        quote = quote_for(request, checked.model, await count_prompt(counter, request))
        # 3. Reserve it, durably (after asking who could answer: nothing is reserved for what would come too late).
        route = self._route(checked, request, quote)
        job = _Job(await self._door.reserve(checked, quote), request, quote, caller, route)
        self._parts.observer.admitted()
        try:
            # 4. and 5. Ask, pass on.
            await self._deliver(job, progress.started_at)
            # 6. Charge, durably.
            signed = await self.closer.close(job.admission, quote, job.relay)
            if _is_free_work(job, signed):
                self._patience.note(job.admission.key.payer, self._parts.clock.monotonic())
            else:
                route.ended(signed.receipt)
            # 7. Hand over the signed receipt.
            await self._hand_over(job, signed)
        except WwwserveError:
            raise
        except BaseException:
            # Cancelled by a server that goes down, or a bug of ours: the reservation must still become a receipt.
            self._close_in_background(job)
            raise
        finally:
            route.close()

    def _route(self, checked: Checked, request: Request, quote: Quote) -> Route:
        if self._parts.router is None:
            return OwnEngines(self._parts.backends, checked.model.name)
        return self._parts.router.route(checked, request, quote)

    def _check_room(self) -> None:
        if self.suspended:
            raise BooksStale("this node's books are being recovered; ask another", retry_after=5)
        if self.is_draining:
            raise Draining("this node is going down; ask another", retry_after=self._settings.retry_after_seconds)
        if self.in_flight - self._asking > self._settings.max_concurrent:
            raise Overloaded("too many requests in service", retry_after=self._settings.retry_after_seconds)

    async def _deliver(self, job: _Job, started_at: float) -> None:
        """Open an exchange with whom the route names, with the next one if it does not answer; pass its events on."""
        while (backend := await self._next(job)) is not None:
            backend.in_flight += 1
            try:
                job.relay = await self._open(job, backend)
                job.error = None
                job.route.started()
                self._parts.observer.first_byte(self._parts.clock.monotonic() - started_at)
                if job.request.is_stream:
                    await job.relay.pump(job.caller)
                break
            except EngineFailed as exc:
                job.error = exc
                if job.caller.is_gone:
                    break
                job.route.failed(backend, exc)
            except (BadRequest, Overloaded) as exc:
                job.error = exc
                break
            finally:
                backend.in_flight -= 1

    async def _next(self, job: _Job) -> Backend | None:
        """An admitted request ends with a receipt, so a route's refusal is kept for it, not raised."""
        try:
            return await job.route.next(job.admission, job.caller)
        except WwwserveError as exc:
            job.error = exc
            return None

    async def _open(self, job: _Job, backend: Backend) -> Relay:
        terms = job.admission.terms
        room = completion_room(terms.max_price, job.quote.prompt_tokens, terms.price_prompt, terms.price_completion)
        limit = min(room, job.quote.completion_limit)
        extra = {"cache_salt": _cache_salt(job.admission.key.payer)} if self._settings.cache_salt else {}
        body = job.request.to_upstream(backend.model, limit, extra)
        exchange = backend.engine.open(job.request.path, body)
        relay = Relay(exchange, is_stream=job.request.is_stream, is_peer=backend.is_peer)
        job.relay = relay
        job.caller.on_gone(relay.cut)
        await relay.open()
        return relay

    async def _hand_over(self, job: _Job, signed: SignedReceipt) -> None:
        caller, relay = job.caller, job.relay
        if job.error is not None or relay is None:
            error = job.error or EngineFailed("no engine answered")
            self._parts.observer.refused(error)
            await caller.refuse(error, receipt=signed)
            return
        cost = cost_of(signed.receipt, self._parts.market.currency)
        if job.request.is_stream:
            usage = _with_cost(relay.usage_event, cost) if job.request.wants_usage and relay.usage_event else None
            await caller.end_stream(StreamEnd(relay.error, usage, signed))
            return
        await caller.answer(orjson.dumps(_with_cost(relay.body, cost)), signed)

    async def drain(self, seconds: float) -> None:
        """Admit nothing more and wait for what runs, at most `seconds`; then for the books."""
        self.is_draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        if self._background:
            await asyncio.wait(self._background, timeout=seconds)

    def _close_in_background(self, job: _Job) -> None:
        """Closing twice is harmless: the books return the receipt they have."""
        if job.relay is not None:
            job.relay.cut()
        task = asyncio.get_running_loop().create_task(self._close_alone(job))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _close_alone(self, job: _Job) -> None:
        try:
            await self.closer.close(job.admission, job.quote, job.relay)
        except WwwserveError:
            log.warning("request %s is not closed yet", job.admission.request_id.hex())

    async def _refuse(self, error: WwwserveError, progress: _Progress, caller: Caller) -> None:
        if not isinstance(error, PAYMENT_REFUSALS):
            await caller.refuse(error)
            return
        request = progress.request or await self._read_to_price(progress.path, caller)
        demand = await build_demand(self._parts, request, progress.key)
        await caller.refuse(error, demand.to_json(self._parts.market, error.facts))

    async def _read_to_price(self, path: str, caller: Caller) -> Request | None:
        """Nobody has paid: beyond a limit the price is not told, so that slow bodies of strangers hold nothing up."""
        if self._asking >= self._settings.max_concurrent:
            return None
        self._asking += 1
        try:
            return await request_of(path, caller)
        finally:
            self._asking -= 1


def _is_free_work(job: _Job, signed: SignedReceipt) -> bool:
    """Billed at nothing though somebody worked: an early hang-up or an answer made empty (by a stop word).

    The caller's doing, so it says nothing of who served it: blaming peers for it would let a caller shut them all out.
    """
    receipt, relay = signed.receipt, job.relay
    is_unbilled = receipt.status in (Status.CANCELLED, Status.FAILED) and not receipt.prompt_tokens
    is_answered = job.error is None and relay is not None and relay.error is None
    return is_unbilled and (job.caller.is_gone or is_answered)


@lru_cache(maxsize=4_096)
def _cache_salt(payer: Address) -> str:
    """A payer's own prefix cache."""
    return keccak(payer).hex()


def _with_cost(fields: Mapping[str, object], cost: Mapping[str, str]) -> dict[str, object]:
    """The engine's body or usage event with the cost in `usage`."""
    usage = fields.get("usage")
    return {**fields, "usage": {**(usage if isinstance(usage, dict) else {}), "cost": cost}}
