"""When a peer's standing bid answers for a request, so that nobody has to be asked: fresh, for this size, with room.

A standing bid speaks of a middling request. It is believed as far as it leaves room for what was sent to the bidder
since it was heard; beyond that, or for long prompts, the peer is asked. Promises are compared with deeds either way.
"""

from dataclasses import dataclass

from node.core.bids import ModelBid, SignedBid
from node.core.routing.types import RouteRequest

HEARD_SECONDS = 3.0
"""A node makes its bid anew every two seconds."""
ISSUED_SECONDS = 10.0
"""By the bidder's own clock: an old bid that is first heard now is none."""
LONGEST_PROMPT = 1_024
"""Twice the middling prompt: the time to the first token of a longer one is another."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How this node stands to a bid: how long ago it was heard, our clock, and what was sent there since."""

    age_seconds: float
    now: float
    sent_since: int


def row_for(signed: SignedBid, model: bytes, request: RouteRequest, hearing: Hearing) -> ModelBid | None:
    """The row that answers for this request, or None: ask."""
    row = next((one for one in signed.bid.models if one.model == model), None)
    if row is None or request.prompt_tokens > LONGEST_PROMPT:
        return None
    is_fresh = hearing.age_seconds <= HEARD_SECONDS
    is_of_now = abs(hearing.now - signed.bid.issued_at / 1e6) <= ISSUED_SECONDS
    has_room = row.free_slots > hearing.sent_since and row.kv_room >= request.prompt_tokens + request.max_tokens
    return row if is_fresh and is_of_now and has_room else None
