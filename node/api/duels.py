"""What judges and the curious ask of duels: sealed evidence for drawn judges; ratings, judges' care for all. Parses."""

from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import APIRouter, Request

from node.core.errors import BadRequest, TooLarge
from node.services.duel_canaries import Canaries
from node.services.duel_evidence import EVIDENCE_PATH, EvidenceDesk
from node.services.duel_ratings import Ratings

MOST_BYTES = 4 * 1024
"""A wish for evidence is about 500 bytes."""


@dataclass(frozen=True, slots=True)
class DuelServices:
    """What these routes talk to."""

    desk: EvidenceDesk
    ratings: Ratings
    canaries: Canaries


def duel_routes(services: DuelServices) -> APIRouter:
    """`POST /v1/duels/evidence`, `GET /v1/ratings`, `GET /v1/judges`."""
    router = APIRouter()

    @router.post(EVIDENCE_PATH)
    async def post_evidence(request: Request) -> dict[str, str]:
        return await services.desk.answer(await _document(request))

    @router.get("/v1/ratings")
    async def get_ratings() -> dict[str, Any]:
        return services.ratings.show()

    @router.get("/v1/judges")
    async def get_judges() -> dict[str, Any]:
        return services.canaries.show()

    return router


async def _document(request: Request) -> object:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise TooLarge(f"a wish for evidence has at most {MOST_BYTES} bytes")
    try:
        return orjson.loads(bytes(body))
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the wish for evidence is not valid JSON") from exc
