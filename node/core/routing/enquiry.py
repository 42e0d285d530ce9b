"""What a dispatcher asks a peer ("would you serve this?") and a peer's signed no. The yes is `core.bids.Bid`.

Both are signed: only registered providers may ask, and a dispatcher cannot invent a refusal to skip somebody.
"""

from dataclasses import dataclass
from typing import Any

from node.core.errors import BadVoucher
from node.core.hashing import address_word, keccak, word
from node.core.routing.types import Skip
from node.core.types import Address, Bytes32, Micros, Signature
from node.core.wire import address_of, bytes_of, hex_of, signature_of, uint_of

ENQUIRY_TYPE = (
    b"Enquiry(address asker,address asked,bytes32 requestId,bytes32 origin,bytes32 model,uint32 promptTokens,"
    b"uint32 maxTokens,uint64 finishMillis,uint64 issuedAt,bytes32 path)"
)
REFUSAL_TYPE = b"Refusal(address payee,address asker,bytes32 requestId,string reason,uint64 issuedAt)"
ENQUIRY_TYPE_HASH = keccak(ENQUIRY_TYPE)
REFUSAL_TYPE_HASH = keccak(REFUSAL_TYPE)
LONGEST_PATH = 8
NO_DEADLINE = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One request as a peer is told of it. `finish_millis` counts from now, 0 = no deadline.

    `origin` is the hash of the terms that would be served: it comes back in the purchase's `originHash`. `path` names
    the nodes the request has passed, the asker last.
    """

    asker: Address
    asked: Address
    request_id: Bytes32
    origin: Bytes32
    model: Bytes32
    prompt_tokens: int
    max_tokens: int
    finish_millis: int
    issued_at: Micros
    path: tuple[Address, ...]

    def struct_hash(self) -> Bytes32:
        """What the asker's operator key signs."""
        numbers = (self.prompt_tokens, self.max_tokens, self.finish_millis, self.issued_at)
        return keccak(
            ENQUIRY_TYPE_HASH
            + address_word(self.asker)
            + address_word(self.asked)
            + self.request_id
            + self.origin
            + self.model
            + b"".join(map(word, numbers))
            + keccak(b"".join(map(address_word, self.path)))
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A peer's no."""

    payee: Address
    asker: Address
    request_id: Bytes32
    reason: Skip
    issued_at: Micros

    def struct_hash(self) -> Bytes32:
        """What the refusing operator key signs."""
        return keccak(
            REFUSAL_TYPE_HASH
            + address_word(self.payee)
            + address_word(self.asker)
            + self.request_id
            + keccak(self.reason.value.encode())
            + word(self.issued_at)
        )


@dataclass(frozen=True, slots=True)
class SignedRefusal:
    """A refusal and its signature."""

    refusal: Refusal
    signature: Signature


def question_to_json(question: Question, signature: Signature) -> dict[str, Any]:
    """For an HTTP body."""
    return {
        "asker": hex_of(question.asker),
        "asked": hex_of(question.asked),
        "requestId": hex_of(question.request_id),
        "origin": hex_of(question.origin),
        "model": hex_of(question.model),
        "promptTokens": question.prompt_tokens,
        "maxTokens": question.max_tokens,
        "finishMillis": str(question.finish_millis),
        "issuedAt": str(question.issued_at),
        "path": [hex_of(address) for address in question.path],
        "signature": hex_of(signature),
    }


def question_from_json(value: object) -> tuple[Question, Signature]:
    """The reverse; the signature is not checked here. Raises BadVoucher."""
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(path, list) or len(path) > LONGEST_PATH:
        raise BadVoucher(f"an enquiry must be an object with a path of at most {LONGEST_PATH} nodes", field="path")
    question = Question(
        asker=address_of(value.get("asker"), "asker"),
        asked=address_of(value.get("asked"), "asked"),
        request_id=Bytes32(bytes_of(value.get("requestId"), 32, "requestId")),
        origin=Bytes32(bytes_of(value.get("origin"), 32, "origin")),
        model=Bytes32(bytes_of(value.get("model"), 32, "model")),
        prompt_tokens=uint_of(value.get("promptTokens"), 32, "promptTokens"),
        max_tokens=uint_of(value.get("maxTokens"), 32, "maxTokens"),
        finish_millis=uint_of(value.get("finishMillis"), 64, "finishMillis"),
        issued_at=Micros(uint_of(value.get("issuedAt"), 64, "issuedAt")),
        path=tuple(address_of(one, "path") for one in path),
    )
    return question, signature_of(value.get("signature"))


def refusal_to_json(signed: SignedRefusal) -> dict[str, Any]:
    """For an HTTP body and for the record of a draw."""
    refusal = signed.refusal
    return {
        "payee": hex_of(refusal.payee),
        "asker": hex_of(refusal.asker),
        "requestId": hex_of(refusal.request_id),
        "reason": refusal.reason.value,
        "issuedAt": str(refusal.issued_at),
        "signature": hex_of(signed.signature),
    }


def refusal_from_json(value: object) -> SignedRefusal:
    """The reverse. Raises BadVoucher."""
    if not isinstance(value, dict) or value.get("reason") not in set(Skip):
        raise BadVoucher("a refusal must be an object with a known reason", field="reason")
    refusal = Refusal(
        payee=address_of(value.get("payee"), "payee"),
        asker=address_of(value.get("asker"), "asker"),
        request_id=Bytes32(bytes_of(value.get("requestId"), 32, "requestId")),
        reason=Skip(str(value["reason"])),
        issued_at=Micros(uint_of(value.get("issuedAt"), 64, "issuedAt")),
    )
    return SignedRefusal(refusal, signature_of(value.get("signature")))
