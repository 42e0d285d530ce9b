"""The record of one draw: what anybody needs to derive its order again, and what the dispatcher did with everyone.

`steps` name every provider of the order from the first to the last one looked at, in order: passed over (and why), or
asked, or chosen. An auditor re-derives the order and objects to whoever is missing or skipped without a reason.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from node.core.hashing import keccak
from node.core.types import Address, Bytes32, Micros
from node.core.wire import hex_of

RECORD_DOMAIN = b"wwwserve draw record v1\n"


class Act(StrEnum):
    """What became of one provider of the order."""

    SKIPPED = "skipped"
    """Not asked; `reason` says why."""
    REFUSED = "refused"
    """Asked, and it said no (`evidence` is its signed refusal) or nothing at all (timed_out)."""
    BID = "bid"
    """Asked, and it bid (`evidence` is its signed bid), but another was chosen."""
    CHOSEN = "chosen"
    """It got the request."""


@dataclass(frozen=True, slots=True)
class Step:
    """One provider of the order. `evidence` is the peer's own signed word, where it gave one."""

    provider: Address
    act: Act
    reason: str = ""
    evidence: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As served."""
        return {
            "provider": hex_of(self.provider),
            "act": self.act.value,
            "reason": self.reason,
            "evidence": None if self.evidence is None else dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class DrawRecord:
    """One draw, as decided. `round` counts the draws of one request (after a failure its order is walked again)."""

    request_id: Bytes32
    dispatcher: Address
    block_number: int
    block_hash: Bytes32
    model: str
    round: int
    decision: str
    reason: str
    made_at: Micros
    steps: tuple[Step, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As served and signed."""
        return {
            "requestId": hex_of(self.request_id),
            "dispatcher": hex_of(self.dispatcher),
            "blockNumber": self.block_number,
            "blockHash": hex_of(self.block_hash),
            "model": self.model,
            "round": self.round,
            "decision": self.decision,
            "reason": self.reason,
            "madeAt": str(self.made_at),
            "steps": [step.to_json() for step in self.steps],
        }

    def document(self) -> str:
        """The canonical text that is stored, signed and served."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def record_hash(document: str) -> Bytes32:
    """What the dispatcher's operator key signs (as an EIP-712 struct hash of its own kind)."""
    return keccak(RECORD_DOMAIN + document.encode())
