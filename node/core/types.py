"""The words of the protocol as types. Nothing here decides or checks anything beyond its own shape."""

from enum import IntEnum
from typing import NewType

from node.core.records import record

Address = NewType("Address", bytes)
"""20 bytes. Checksummed hex exists only at the edges."""
Bytes32 = NewType("Bytes32", bytes)
Amount = NewType("Amount", int)
"""Base units of the currency, an integer."""
Seconds = NewType("Seconds", int)
Micros = NewType("Micros", int)
"""Microseconds since the Unix epoch: the unit of a receipt's `seq`."""
Signature = NewType("Signature", bytes)
"""65 bytes r || s || v with low s and v in {27, 28}."""

ZERO32 = Bytes32(b"\x00" * 32)
ZERO_ADDRESS = Address(b"\x00" * 20)
PRICE_UNIT = 1_000_000
"""Prices are base units per this many LLM tokens."""
U128_MAX = 2**128 - 1


class Mode(IntEnum):
    """What a request is for (`Terms.mode`)."""

    NORMAL = 0
    JUDGE = 1


class Flag(IntEnum):
    """Bits of `Terms.flags`: what the payer forbids."""

    NO_OFFLOAD = 1
    NO_DUEL = 2


class Status(IntEnum):
    """How an answer ended (`Receipt.status`); the billing table gives the meaning of each."""

    COMPLETE = 1
    CANCELLED = 2
    FAILED = 3
    PARTIAL = 4


@record
class LaneKey:
    """One signer of one payer, towards one payee, in one generation of the payee's operator key."""

    payer: Address
    payee: Address
    lane: Address
    generation: int

    @property
    def pair(self) -> tuple[Address, Address]:
        """(payer, payee): the allotment that all lanes of the pair share."""
        return (self.payer, self.payee)


@record
class TokenCount:
    """The one billing count of an answer, in LLM tokens."""

    prompt: int
    completion: int
