"""Who is at the other end: the operator key's signature over the caller's nonce and the channel (threat H2).

A name or an address proves nothing: names are hijacked, and whoever holds a name gets a certificate for it. So the
payee signs, for each new connection, a nonce of the caller's and the hash of the certificate that the payee itself
uses. Someone in the middle shows another certificate, and the caller sees that the two differ.
"""

from dataclasses import dataclass

from node.core.hashing import address_word, keccak
from node.core.types import Address, Bytes32

IDENTITY_TYPE = b"Identity(address payee,bytes32 nonce,bytes32 channel)"
IDENTITY_TYPE_HASH = keccak(IDENTITY_TYPE)
IDENTITY_PATH = "/v1/peer/identity"


@dataclass(frozen=True, slots=True)
class Identity:
    """`channel`: keccak of the TLS leaf certificate (DER), or zero without TLS."""

    payee: Address
    nonce: Bytes32
    channel: Bytes32

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Identity)`."""
        return keccak(IDENTITY_TYPE_HASH + address_word(self.payee) + self.nonce + self.channel)
