"""What nodes say to each other apart from requests: packets, the proof of identity, and the list of members. Parses."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from node.core.bids import bid_to_json
from node.core.errors import BadRequest, BadVoucher, TooLarge
from node.core.identity import IDENTITY_PATH
from node.core.membership.members import Member
from node.core.membership.packets import MAX_REQUEST_BYTES
from node.core.types import Bytes32
from node.core.wire import bytes_of, hex_of
from node.services.identity import Prover
from node.services.membership import MembershipService


@dataclass(frozen=True, slots=True)
class PeerServices:
    """What these routes talk to."""

    membership: MembershipService
    prover: Prover


def peer_routes(services: PeerServices) -> APIRouter:
    """`POST /v1/peer/packets`, `GET /v1/peer/identity?nonce=`, `GET /v1/peer/members`."""
    router = APIRouter()
    membership, prover = services.membership, services.prover

    @router.post("/v1/peer/packets")
    async def packets(request: Request) -> Response:
        answer = await membership.on_packet(await _packet_of(request))
        return Response(answer, media_type="application/octet-stream")

    @router.get(IDENTITY_PATH)
    async def identity(nonce: str) -> dict[str, str]:
        try:
            return prover.proof(Bytes32(bytes_of(nonce, 32, "nonce")))
        except BadVoucher as exc:
            raise BadRequest(exc.message, param="nonce") from exc

    @router.get("/v1/peer/members")
    async def members() -> dict[str, Any]:
        return {"members": [_shown(member) for member in membership.members().values()]}

    return router


async def _packet_of(request: Request) -> bytes:
    """Counted as it comes, whatever its length says (threat H4)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLarge(f"a membership packet has at most {MAX_REQUEST_BYTES} bytes", limit=MAX_REQUEST_BYTES)
    return bytes(body)


def _shown(member: Member) -> dict[str, Any]:
    return {
        "payee": hex_of(member.payee),
        "operator": hex_of(member.operator),
        "endpoint": member.endpoint,
        "stake": str(member.stake),
        "state": member.state.value,
        "isCandidate": member.is_alive,
        "incarnation": str(member.incarnation),
        "bid": None if member.bid is None else bid_to_json(member.bid),
        "bidAgeSeconds": member.bid_age_seconds,
    }
