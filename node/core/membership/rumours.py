"""What members tell each other: "I live", "I think it is gone", "I leave". Each is signed by who says it.

There is no word for "it is dead": a node calls a member dead only when a suspicion has stood unrefuted in its own
sight, so that one liar can make work but cannot remove a rival that answers. Never reads a clock.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from node.core.hashing import address_word, keccak, word
from node.core.types import ZERO_ADDRESS, Address, Bytes32, Signature

RUMOUR_TYPE = b"Rumour(uint8 kind,address subject,uint64 incarnation,address accuser)"
RUMOUR_TYPE_HASH = keccak(RUMOUR_TYPE)


class RumourKind(IntEnum):
    """What is said of the subject."""

    ALIVE = 1
    """By the subject; a higher incarnation refutes any suspicion of a lower one."""
    SUSPECT = 2
    """By the accuser, whose probe failed."""
    LEFT = 3
    """By the subject, on its way out."""


@dataclass(frozen=True, slots=True)
class Rumour:
    """One statement. `accuser` is zero except in a suspicion."""

    kind: RumourKind
    subject: Address
    incarnation: int
    accuser: Address = ZERO_ADDRESS

    @property
    def author(self) -> Address:
        """Whose operator key must have signed it."""
        return self.accuser if self.kind is RumourKind.SUSPECT else self.subject

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Rumour)`."""
        head = RUMOUR_TYPE_HASH + word(self.kind) + address_word(self.subject)
        return keccak(head + word(self.incarnation) + address_word(self.accuser))


@dataclass(frozen=True, slots=True)
class SignedRumour:
    """A rumour and its author's signature, as it is passed on."""

    rumour: Rumour
    signature: Signature


class Signable(Protocol):
    """Anything with an EIP-712 hash."""

    def struct_hash(self) -> Bytes32:
        """`hashStruct` of it."""
        ...


class Notary(Protocol):
    """Signatures as an argument: the live node has keys, the simulator has none."""

    def seal(self, rumour: Rumour) -> SignedRumour:
        """This node's own word, signed."""
        ...

    def is_genuine(self, message: Signable, signature: Signature, operator: Address) -> bool:
        """Whether this operator key signed the message."""
        ...
