"""The protocol's signed messages, driven by their EIP-712 type strings: JSON in, typed members and struct hash out.

Written from the specification, not from the node: one generic reader and encoder for every flat struct. It checks shape
only; what the members must say is checked elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from node.audit.crypto import ZERO20, keccak, octets_of, uint_of
from node.audit.errors import MalformedError

MAX_MODELS = 256


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its unsigned integers, its addresses and hashes, its texts, and `hashStruct` of all of them."""

    numbers: Mapping[str, int]
    octets: Mapping[str, bytes]
    texts: Mapping[str, str]
    struct_hash: bytes


@dataclass(frozen=True, slots=True)
class StructType:
    """A flat EIP-712 struct. Members as (name, kind, width): bits of a uint, bytes of octets, 0 for a string."""

    name: str
    type_hash: bytes
    members: tuple[tuple[str, str, int], ...]

    @staticmethod
    def of(type_string: str) -> "StructType":
        """Read `Name(type name,...)`."""
        name, _, rest = type_string.partition("(")
        members = []
        for member in rest.rstrip(")").split(","):
            kind, _, label = member.partition(" ")
            members.append((label, *_kind_of(kind)))
        return StructType(name, keccak(type_string.encode()), tuple(members))

    def parse(self, document: object) -> Message:
        """The message in a JSON object: exactly these members. Raises MalformedError."""
        if not isinstance(document, dict) or len(document) != len(self.members):
            raise MalformedError(f"{self.name} is not an object of {len(self.members)} members")
        numbers: dict[str, int] = {}
        octets: dict[str, bytes] = {}
        texts: dict[str, str] = {}
        encoded = [self.type_hash]
        for label, kind, width in self.members:
            member = document.get(label)
            if kind == "uint":
                numbers[label] = number = uint_of(member, width, label)
                encoded.append(number.to_bytes(32, "big"))
            elif kind == "octets":
                octets[label] = raw = octets_of(member, width, label)
                encoded.append(raw.rjust(32, b"\x00"))
            else:
                texts[label] = text = _text_of(member, label)
                encoded.append(keccak(text.encode()))
        return Message(numbers, octets, texts, keccak(b"".join(encoded)))


def _kind_of(kind: str) -> tuple[str, int]:
    if kind == "address":
        return "octets", len(ZERO20)
    if kind == "bytes32":
        return "octets", 32
    if kind == "string":
        return "string", 0
    return "uint", int(kind.removeprefix("uint"))


def _text_of(member: object, label: str) -> str:
    if not isinstance(member, str):
        raise MalformedError(f"{label} is not text")
    try:
        member.encode()
    except UnicodeEncodeError as exc:
        raise MalformedError(f"{label} is not encodable text") from exc
    return member


TERMS = StructType.of(
    "Terms(bytes32 requestId,bytes32 requestHash,bytes32 offerHash,bytes32 model,bytes32 tokenizer,bytes32 template,"
    "uint128 pricePrompt,uint128 priceCompletion,uint128 maxPrice,uint64 startBy,uint8 mode,uint32 flags,uint8 hops,"
    "bytes32 originHash)"
)
VOUCHER = StructType.of("Voucher(address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context)")
RECEIPT = StructType.of(
    "Receipt(address payer,address payee,address lane,uint32 generation,uint64 seq,bytes32 requestId,bytes32 context,"
    "bytes32 requestHash,bytes32 responseHash,bytes32 answerHash,uint32 promptTokens,uint32 completionTokens,"
    "uint8 status,uint128 charge,uint128 cumulative)"
)
CLAIM = StructType.of(
    "Claim(address payer,address payee,address lane,uint32 generation,uint64 seq,uint128 cumulative,"
    "bytes32 receiptsRoot,uint32 count)"
)
ANSWER = StructType.of(
    "Answer(address payer,address lane,uint32 generation,bytes32 requestId,bytes32 requestHash,bytes32 responseHash,"
    "bytes32 model,address executor,bytes32 nonceCommit)"
)
MODEL_OFFER_TYPE = (
    "ModelOffer(string name,bytes32 tokenizer,bytes32 template,uint128 pricePrompt,uint128 priceCompletion,"
    "uint32 contextLength,uint32 maxCompletion)"
)
MODEL_OFFER = StructType.of(MODEL_OFFER_TYPE)
OFFER_TYPE_HASH = keccak(
    (
        "Offer(address payee,uint64 number,ModelOffer[] models,uint128 minimumBudget,uint64 validFrom,"
        "uint64 validUntil)" + MODEL_OFFER_TYPE
    ).encode()
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider's offer: its models by id (keccak of the name) and the hash that stands in the registry."""

    payee: bytes
    models: Mapping[bytes, Message]
    valid_from: int
    valid_until: int
    struct_hash: bytes


def parse_offer(document: object) -> Offer:
    """An offer document's `offer` member. Raises MalformedError."""
    if not isinstance(document, dict) or not isinstance(document.get("models"), list):
        raise MalformedError("offer is not an object with models")
    if len(document["models"]) > MAX_MODELS:
        raise MalformedError("offer has too many models")
    models = [MODEL_OFFER.parse(model) for model in document["models"]]
    payee = octets_of(document.get("payee"), 20, "payee")
    number = uint_of(document.get("number"), 64, "number")
    tail = [
        uint_of(document.get("minimumBudget"), 128, "minimumBudget"),
        uint_of(document.get("validFrom"), 64, "validFrom"),
        uint_of(document.get("validUntil"), 64, "validUntil"),
    ]
    words = [payee.rjust(32, b"\x00"), number.to_bytes(32, "big"), keccak(b"".join(m.struct_hash for m in models))]
    words += [amount.to_bytes(32, "big") for amount in tail]
    by_id = {keccak(model.texts["name"].encode()): model for model in models}
    return Offer(payee, by_id, tail[1], tail[2], keccak(OFFER_TYPE_HASH + b"".join(words)))


def domain_separator(chain_id: int, escrow: bytes) -> bytes:
    """The EIP-712 domain of one deployment: name wwwserve, version 1, this chain, this escrow."""
    return keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(b"wwwserve")
        + keccak(b"1")
        + chain_id.to_bytes(32, "big")
        + escrow.rjust(32, b"\x00")
    )


def digest_of(separator: bytes, struct_hash: bytes) -> bytes:
    """What is signed."""
    return keccak(b"\x19\x01" + separator + struct_hash)
