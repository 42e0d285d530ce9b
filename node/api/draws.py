"""What other nodes and auditors ask of routing: a bid for a request, the record of a draw. Parses; asks a service."""

from typing import Any

import orjson
from fastapi import APIRouter, Request

from node.core.errors import BadRequest, BadVoucher, TooLarge
from node.core.types import Bytes32
from node.core.wire import bytes_of
from node.services.bids import BID_PATH, Answerer
from node.services.draws import Draws

MOST_QUESTION_BYTES = 16 * 1024
"""A question is about 1 KB."""


def draw_routes(draws: Draws, answerer: Answerer) -> APIRouter:
    """`POST /v1/bids` for registered providers, `GET /v1/draws/{request_id}` for everybody."""
    router = APIRouter()

    @router.post(BID_PATH)
    async def post_bid(request: Request) -> dict[str, Any]:
        return answerer.answer(await _document(request))

    @router.get("/v1/draws/{request_id}")
    async def get_draw(request_id: str) -> dict[str, Any]:
        try:
            wanted = Bytes32(bytes_of(request_id, 32, "request_id"))
        except BadVoucher as exc:
            raise BadRequest(exc.message, param="request_id") from exc
        return await draws.show(wanted)

    return router


async def _document(request: Request) -> object:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_QUESTION_BYTES:
            raise TooLarge(f"a question has at most {MOST_QUESTION_BYTES} bytes")
    try:
        return orjson.loads(bytes(body))
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the question is not valid JSON") from exc
