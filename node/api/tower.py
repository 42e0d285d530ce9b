"""A watchtower's HTTP: `POST /v1/claims`, `GET /v1/claims?payee=`, `GET /healthz`. Parses; the service checks."""

from typing import Any

import orjson
from fastapi import FastAPI, Request

from node.api.app import add_error_handlers
from node.core.errors import BadRequest, BadVoucher, TooLarge
from node.core.pushes import push_from_json, push_to_json
from node.core.types import Address
from node.core.wire import bytes_of
from node.services.watchtower import Watchtower

MAX_BYTES = 256 * 1024
MAX_CLAIMS = 50


def create_tower_app(tower: Watchtower) -> FastAPI:
    """The application that uvicorn runs."""
    app = FastAPI(title="wwwserve watchtower", docs_url=None, redoc_url=None, openapi_url=None)
    add_error_handlers(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/claims")
    async def push(request: Request) -> dict[str, Any]:
        rows = _rows_of(await _body_of(request))
        news = await tower.take([push_from_json(row) for row in rows])
        return {"stored": len(rows), "news": news}

    @app.get("/v1/claims")
    async def show(payee: str) -> dict[str, Any]:
        try:
            address = Address(bytes_of(payee, 20, "payee"))
        except BadVoucher as exc:
            raise BadRequest(exc.message, param="payee") from exc
        return {"claims": [push_to_json(signed) for signed in await tower.show(address)]}

    return app


async def _body_of(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise TooLarge(f"a push may have {MAX_BYTES} bytes", limit=MAX_BYTES)
    return body


def _rows_of(body: bytes) -> list[Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the body is not valid JSON") from exc
    rows = document.get("claims") if isinstance(document, dict) else None
    if not isinstance(rows, list) or len(rows) > MAX_CLAIMS:
        raise BadRequest(f"claims must be a list of at most {MAX_CLAIMS}", param="claims")
    return rows
