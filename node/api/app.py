"""The HTTP surface: paid routes beside it (`hot`), read routes through FastAPI, one shape for every error.

Chooses no adapter.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from node.api.draws import draw_routes
from node.api.duels import DuelServices, duel_routes
from node.api.errors import error_document, retry_after, shown
from node.api.hot import PaidRoutes
from node.api.lanes import lane_routes
from node.api.ledger_rows import ledger_routes
from node.api.metrics import Metrics
from node.api.peer import PeerServices, peer_routes
from node.api.reads import offer_routes, receipt_routes
from node.core.errors import BadRequest, NotFound, WwwserveError
from node.core.types import Address
from node.services.bids import Answerer
from node.services.chain_view import ChainView
from node.services.draws import Draws
from node.services.ledger_rows import LedgerRows
from node.services.offers import OfferBook
from node.services.readiness import Readiness
from node.services.receipts import Receipts
from node.services.resync import Resync
from node.services.routing import PolicyRouter
from node.services.routing_policies import Policies
from node.services.serve import Serving

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class RoutedServices:
    """What a node with peers has besides."""

    router: PolicyRouter
    draws: Draws
    answerer: Answerer
    policies: Policies


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything the routes talk to."""

    serving: Serving
    receipts: Receipts
    offers: OfferBook
    chain: ChainView
    readiness: Readiness
    metrics: Metrics
    payee: Address
    resync: Resync | None = None
    ledger_rows: LedgerRows | None = None
    routed: RoutedServices | None = None
    network: PeerServices | None = None
    duels: DuelServices | None = None


class NodeApi(FastAPI):
    """FastAPI for all but the paid routes, which `api.server` serves by themselves."""

    paid: PaidRoutes


def create_app(services: ApiServices, lifespan: Lifespan | None = None) -> FastAPI:
    """The application that uvicorn runs. No schema pages: they would only list what docs/http.md explains."""
    app = NodeApi(title="wwwserve", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.paid = PaidRoutes(services.serving)
    app.include_router(offer_routes(services.offers))
    app.include_router(receipt_routes(services.receipts, services.chain, services.payee))
    if services.resync is not None:
        app.include_router(lane_routes(services.resync))
    if services.ledger_rows is not None:
        app.include_router(ledger_routes(services.ledger_rows))
    if services.routed is not None:
        app.include_router(draw_routes(services.routed.draws, services.routed.answerer))
    if services.network is not None:
        app.include_router(peer_routes(services.network))
    if services.duels is not None:
        app.include_router(duel_routes(services.duels))
    _add_operator_routes(app, services)
    add_error_handlers(app)
    services.metrics.watch_in_flight(lambda: services.serving.in_flight)
    return app


def _add_operator_routes(app: FastAPI, services: ApiServices) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Response:
        report = await services.readiness.report()
        return JSONResponse(report, status_code=200 if report["is_ready"] else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        text, content_type = services.metrics.page(request.headers.get("accept", ""))
        return Response(text, media_type=content_type)


def add_error_handlers(app: FastAPI) -> None:
    """One shape for every error, the framework's own included."""

    @app.exception_handler(WwwserveError)
    async def _on_error(_request: Request, error: WwwserveError) -> Response:
        return _refusal(error)

    @app.exception_handler(RequestValidationError)
    async def _on_invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _refusal(BadRequest(str(first["msg"]), param=str(first["loc"][-1])))

    @app.exception_handler(HTTPException)
    async def _on_http(_request: Request, error: HTTPException) -> Response:
        refused = NotFound("no such route") if error.status_code == 404 else BadRequest(str(error.detail))
        return _refusal(refused, error.status_code)


def _refusal(error: WwwserveError, status: int | None = None) -> Response:
    headers = {"retry-after": seconds} if (seconds := retry_after(error)) is not None else {}
    body = orjson.dumps(error_document(error))
    return Response(body, status or shown(error).status, headers, media_type="application/json")
