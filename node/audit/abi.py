"""Just enough of the contract ABI: event logs in, view calls out and back. Static words and `string`, nothing more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from node.audit.crypto import keccak, octets_of
from node.audit.errors import MalformedError

AbiValue: TypeAlias = int | bytes | str | bool
WORD = 32


@dataclass(frozen=True, slots=True)
class EventType:
    """One event's members as (name, type, is indexed), in declared order."""

    name: str
    topic: bytes
    members: tuple[tuple[str, str, bool], ...]

    @staticmethod
    def of(signature: str) -> "EventType":
        """Read `Name(type indexed name, type name, ...)`."""
        name, _, rest = signature.partition("(")
        members = []
        for member in rest.rstrip(")").split(","):
            words = member.split()
            members.append((words[-1], words[0], "indexed" in words))
        canonical = f"{name}({','.join(kind for _, kind, _ in members)})"
        return EventType(name, keccak(canonical.encode()), tuple(members))

    def decode(self, topics: Sequence[str], payload: bytes) -> dict[str, AbiValue]:
        """The members of a log of this event. Raises MalformedError."""
        indexed = [octets_of(topic, WORD, "topic") for topic in topics[1:]]
        in_topics = [(name, kind) for name, kind, is_indexed in self.members if is_indexed]
        in_payload = [(name, kind) for name, kind, is_indexed in self.members if not is_indexed]
        if len(indexed) != len(in_topics):
            raise MalformedError(f"{self.name} has {len(indexed)} indexed members, not {len(in_topics)}")
        out = {name: _word(kind, word) for (name, kind), word in zip(in_topics, indexed, strict=True)}
        kinds = [kind for _, kind in in_payload]
        values = decode_words(kinds, payload)
        return out | {name: value for (name, _), value in zip(in_payload, values, strict=True)}


def decode_words(kinds: Sequence[str], payload: bytes) -> list[AbiValue]:
    """ABI-encoded values of these types from the start of `payload`. Raises MalformedError."""
    if len(payload) < WORD * len(kinds):
        raise MalformedError("ABI data is too short")
    heads = [payload[WORD * i : WORD * (i + 1)] for i in range(len(kinds))]
    return [
        _string_at(payload, int.from_bytes(head, "big")) if kind == "string" else _word(kind, head)
        for kind, head in zip(kinds, heads, strict=True)
    ]


def _word(kind: str, word: bytes) -> AbiValue:
    """One static value; bits outside its type must be zero, or one value would have two encodings."""
    if kind == "bytes32":
        return word
    if kind == "address":
        if any(word[:12]):
            raise MalformedError("an address with dirty high bits")
        return word[12:]
    number = int.from_bytes(word, "big")
    bits = 1 if kind == "bool" else int(kind.removeprefix("uint"))
    if number >> bits:
        raise MalformedError(f"{kind} out of range")
    return number


def _string_at(payload: bytes, offset: int) -> str:
    if offset + WORD > len(payload):
        raise MalformedError("string offset outside the data")
    length = int.from_bytes(payload[offset : offset + WORD], "big")
    octets = payload[offset + WORD : offset + WORD + length]
    if len(octets) != length:
        raise MalformedError("string longer than the data")
    return octets.decode("utf-8", "replace")


def call_data(signature: str, *arguments: int | bytes) -> str:
    """0x-hex calldata of `name(types)` for static arguments."""
    words = [
        argument.to_bytes(WORD, "big") if isinstance(argument, int) else argument.rjust(WORD, b"\x00")
        for argument in arguments
    ]
    return "0x" + (keccak(signature.encode())[:4] + b"".join(words)).hex()
