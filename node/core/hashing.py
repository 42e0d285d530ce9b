"""keccak-256 and the EIP-712 encoding of flat structs, by hand: 2 us a digest where a general encoder takes 200.

Supports exactly the member types the protocol uses: address, bytes32, uintN, string. Never signs or recovers.
Source: EIP-712, sections "Definition of encodeData" and "Definition of hashStruct".
"""

from dataclasses import dataclass

from sha3 import keccak_256

from node.core.types import Address, Bytes32


def keccak(data: bytes) -> Bytes32:
    """keccak-256 as Ethereum uses it (not NIST SHA3-256)."""
    return keccak_256(data).digest()  # type: ignore[no-any-return] # naming Bytes32 would cost a call


def word(number: int) -> bytes:
    """A 32-byte big-endian word. Raises OverflowError for a negative or too large number."""
    return number.to_bytes(32, "big")


def address_word(address: bytes) -> bytes:
    """An address left-padded to a word."""
    return b"\x00" * 12 + address


DOMAIN_TYPE_HASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature is valid: one chain and one escrow (EIP-712 domain separator, computed once)."""

    chain_id: int
    escrow: Address
    separator: Bytes32

    @staticmethod
    def of(chain_id: int, escrow: Address) -> "Domain":
        """Build the domain of one deployment."""
        separator = keccak(
            DOMAIN_TYPE_HASH + keccak(b"wwwserve") + keccak(b"1") + word(chain_id) + address_word(escrow),
        )
        return Domain(chain_id, escrow, separator)

    def digest(self, struct_hash: bytes) -> Bytes32:
        """What is signed: keccak(0x1901 || separator || hashStruct)."""
        return keccak(b"\x19\x01" + self.separator + struct_hash)
