"""Membership packets as bytes: fixed-width fields, no optional forms, nothing left over. The signature comes last.

Binary, because a packet must fit one segment and a rumour is 114 bytes here and 350 in JSON. A packet's `number` is
its sender's clock in microseconds, always rising; a reply names the number it `answers`, so that it cannot be replayed.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from node.core.bids import MAX_MODELS, Bid, ModelBid, SignedBid
from node.core.errors import BadRequest
from node.core.hashing import address_word, keccak
from node.core.membership.rumours import Rumour, RumourKind, SignedRumour
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Bytes32, Micros, Signature

PACKET_TYPE = b"Packet(address sender,address receiver,bytes32 contents)"
PACKET_TYPE_HASH = keccak(PACKET_TYPE)
VERSION = 1
MAX_REQUEST_BYTES = 2_048
"""Requests from strangers above this are not even read: a packet of ours has at most 1,400 bytes."""
MAX_PAGE_BYTES = 64 * 1024
"""The largest answer, a sync page."""
MAX_RUMOURS = 255
"""Their count is one byte."""
_HEAD = struct.Struct(">BB20s20sQQ20sBB")
_RUMOUR = struct.Struct(">B20sQ20s65s")
_BID = struct.Struct(">20sQQB65s")
_ROW = struct.Struct(">32s16s16s6I")
SIGNATURE_BYTES = 65
HEAD_BYTES = _HEAD.size + SIGNATURE_BYTES
RUMOUR_BYTES = _RUMOUR.size


class Kind(IntEnum):
    """What a packet is for. The first four are requests."""

    PING = 1
    ASK = 2
    """Probe `subject` for me."""
    NEWS = 3
    SYNC = 4
    """Tell me of all members behind `subject`, by address."""
    ACK = 5
    NACK = 6
    """`subject` did not answer me either."""
    PAGE = 7
    """Members; `subject` is the last one of a page that is not the last, else zero."""


REQUESTS = frozenset({Kind.PING, Kind.ASK, Kind.NEWS, Kind.SYNC})


@dataclass(frozen=True, slots=True)
class Draft:
    """A packet's contents, before it is addressed and signed."""

    kind: Kind
    subject: Address = ZERO_ADDRESS
    rumours: tuple[SignedRumour, ...] = ()
    bids: tuple[SignedBid, ...] = ()

    def size(self) -> int:
        """Bytes on the wire, signature included."""
        return HEAD_BYTES + RUMOUR_BYTES * len(self.rumours) + sum(bid_size(signed) for signed in self.bids)


def bid_size(signed: SignedBid) -> int:
    """Bytes of a bid within a packet."""
    return _BID.size + _ROW.size * len(signed.bid.models)


@dataclass(frozen=True, slots=True)
class Packet:
    """An addressed draft. `answers` is zero in a request."""

    sender: Address
    receiver: Address
    number: Micros
    answers: Micros
    draft: Draft


def struct_hash_of(sender: Address, receiver: Address, contents: bytes) -> Bytes32:
    """`hashStruct(Packet)` over the packet's bytes less its signature."""
    return keccak(PACKET_TYPE_HASH + address_word(sender) + address_word(receiver) + keccak(contents))


def encode(packet: Packet) -> bytes:
    """All but the signature."""
    draft = packet.draft
    head = _HEAD.pack(
        VERSION,
        draft.kind,
        packet.sender,
        packet.receiver,
        packet.number,
        packet.answers,
        draft.subject,
        len(draft.rumours),
        len(draft.bids),
    )
    return head + b"".join(map(_rumour_bytes, draft.rumours)) + b"".join(map(_bid_bytes, draft.bids))


def decode(raw: bytes) -> tuple[Packet, bytes, Signature]:
    """The packet, the bytes that its signature covers, the signature (unchecked). Raises BadRequest."""
    if not HEAD_BYTES <= len(raw) <= MAX_PAGE_BYTES:
        raise BadRequest("a membership packet has another length")
    contents, signature = raw[:-SIGNATURE_BYTES], Signature(raw[-SIGNATURE_BYTES:])
    try:
        return _decoded(contents), contents, signature
    except (struct.error, ValueError) as exc:
        raise BadRequest("not a membership packet") from exc


def _decoded(contents: bytes) -> Packet:
    version, kind, sender, receiver, number, answers, subject, rumours, bids = _HEAD.unpack_from(contents)
    if version != VERSION:
        raise ValueError("version")
    reader = _Reader(contents, _HEAD.size)
    draft = Draft(
        Kind(kind),
        Address(subject),
        tuple(reader.rumour() for _ in range(rumours)),
        tuple(reader.bid() for _ in range(bids)),
    )
    reader.check_end()
    return Packet(Address(sender), Address(receiver), Micros(number), Micros(answers), draft)


class _Reader:
    """A cursor over a packet's bytes."""

    def __init__(self, raw: bytes, start: int) -> None:
        self._raw, self._at = raw, start

    def rumour(self) -> SignedRumour:
        kind, subject, incarnation, accuser, signature = self._next(_RUMOUR)
        rumour = Rumour(RumourKind(kind), Address(subject), incarnation, Address(accuser))
        if (rumour.accuser == ZERO_ADDRESS) is (rumour.kind is RumourKind.SUSPECT):
            raise ValueError("accuser")
        return SignedRumour(rumour, Signature(signature))

    def bid(self) -> SignedBid:
        payee, number, issued_at, rows, signature = self._next(_BID)
        if rows > MAX_MODELS:
            raise ValueError("models")
        models = tuple(_row_of(self._next(_ROW)) for _ in range(rows))
        return SignedBid(Bid(Address(payee), ZERO32, number, Micros(issued_at), models), Signature(signature))

    def check_end(self) -> None:
        if self._at != len(self._raw):
            raise ValueError("bytes left over")

    def _next(self, shape: struct.Struct) -> tuple[Any, ...]:
        found = shape.unpack_from(self._raw, self._at)
        self._at += shape.size
        return found


def _rumour_bytes(signed: SignedRumour) -> bytes:
    rumour = signed.rumour
    return _RUMOUR.pack(rumour.kind, rumour.subject, rumour.incarnation, rumour.accuser, signed.signature)


def _bid_bytes(signed: SignedBid) -> bytes:
    bid = signed.bid
    head = _BID.pack(bid.payee, bid.number, bid.issued_at, len(bid.models), signed.signature)
    return head + b"".join(
        _ROW.pack(
            row.model,
            row.price_prompt.to_bytes(16, "big"),
            row.price_completion.to_bytes(16, "big"),
            row.start_millis,
            row.token_micros,
            row.added_millis,
            row.in_flight,
            row.free_slots,
            row.kv_room,
        )
        for row in bid.models
    )


def _row_of(found: tuple[Any, ...]) -> ModelBid:
    model, prompt, completion, start, token, added, in_flight, free, room = found
    return ModelBid(
        model=Bytes32(model),
        price_prompt=Amount(int.from_bytes(prompt, "big")),
        price_completion=Amount(int.from_bytes(completion, "big")),
        start_millis=start,
        token_micros=token,
        added_millis=added,
        in_flight=in_flight,
        free_slots=free,
        kv_room=room,
    )
