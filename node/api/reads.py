"""The free read routes: models, offers, artifacts, receipts, lanes, settlements. Parses ids, asks a service."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from node.core.errors import BadRequest, BadVoucher, NotFound
from node.core.types import Address, Bytes32, LaneKey, Micros
from node.core.wire import bytes_of
from node.services.chain_view import ChainView
from node.services.offers import OfferBook
from node.services.receipts import Receipts

YEAR = "public, max-age=31536000, immutable"
"""What is named by its hash never changes."""
Limit = Annotated[int, Query(ge=1, le=500)]
U64 = Annotated[int, Query(ge=0, lt=2**63)]
U32 = Annotated[int | None, Query(ge=0, lt=2**32)]


def _bytes(text: str, length: int, what: str) -> bytes:
    """Canonical ids only (threat I5)."""
    try:
        return bytes_of(text, length, what)
    except BadVoucher as exc:
        raise BadRequest(exc.message, param=what) from exc


def address_of_query(text: str, what: str) -> Address:
    """Raises BadRequest naming the parameter."""
    return Address(_bytes(text, 20, what))


def _b32(text: str, what: str) -> Bytes32:
    return Bytes32(_bytes(text, 32, what))


def offer_routes(offers: OfferBook) -> APIRouter:
    """What is for sale."""
    router = APIRouter()

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": offers.models()}

    @router.get("/v1/models/{name:path}")
    async def get_model(name: str) -> dict[str, Any]:
        model = next((model for model in offers.models() if model["id"] == name), None)
        if model is None:
            raise NotFound("this node does not offer that model", param="model")
        return model

    @router.get("/v1/offers/current")
    async def get_current_offer() -> dict[str, Any]:
        return offers.document(None)

    @router.get("/v1/offers/{offer_hash}")
    async def get_offer(offer_hash: str) -> dict[str, Any]:
        return offers.document(_b32(offer_hash, "hash"))

    @router.get("/v1/artifacts/{artifact_hash}")
    async def get_artifact(artifact_hash: str) -> Response:
        artifact = offers.artifact(_b32(artifact_hash, "hash"))
        return Response(artifact, media_type="application/octet-stream", headers={"cache-control": YEAR})

    return router


def receipt_routes(receipts: Receipts, chain: ChainView, payee: Address) -> APIRouter:
    """What was sold."""
    router = APIRouter()

    def key_of(payer: str, lane: str, generation: int | None) -> LaneKey:
        present = chain.payee_view.generation if generation is None else generation
        return LaneKey(address_of_query(payer, "payer"), payee, address_of_query(lane, "lane"), present)

    @router.get("/v1/receipts/{request_id}")
    async def get_receipt(request_id: str, payer: str, lane: str) -> dict[str, Any]:
        found = _b32(request_id, "request_id")
        return await receipts.by_id(address_of_query(payer, "payer"), address_of_query(lane, "lane"), found)

    @router.get("/v1/receipts")
    async def list_receipts(
        payer: str, lane: str, generation: U32 = None, after: U64 = 0, limit: Limit = 100
    ) -> dict[str, Any]:
        return await receipts.of_lane(key_of(payer, lane, generation), Micros(after), limit)

    @router.get("/v1/lanes/{payer}/{lane}")
    async def get_lane(payer: str, lane: str, generation: U32 = None) -> dict[str, Any]:
        return await receipts.lane(key_of(payer, lane, generation))

    @router.get("/v1/settlements/{root}/receipts")
    async def get_settlement(root: str, first: Annotated[U64, Query(alias="from")] = 0, limit: Limit = 100) -> Any:  # noqa: ANN401
        return await receipts.of_settlement(_b32(root, "root"), first, limit)

    @router.get("/v1/settlements/{root}/proof")
    async def get_proof(root: str, index: U64) -> dict[str, Any]:
        return await receipts.proof(_b32(root, "root"), index)

    return router
