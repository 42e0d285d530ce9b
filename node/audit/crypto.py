"""keccak-256, signature recovery and hex: the only cryptography the auditor believes. It never signs anything."""

from coincurve import PublicKey
from sha3 import keccak_256

from node.audit.errors import MalformedError

ZERO32 = b"\x00" * 32
ZERO20 = b"\x00" * 20
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""secp256k1 n // 2: a larger s is the same signature written a second way, which the escrow refuses."""
SIGNATURE_BYTES = 65
U256_DIGITS = 78


def keccak(octets: bytes) -> bytes:
    """keccak-256 as Ethereum uses it."""
    digest: bytes = keccak_256(octets).digest()
    return digest


def recover(digest: bytes, signature: bytes) -> bytes | None:
    """The address that signed `digest`; None for what is no signature (length, v, high s, not on the curve)."""
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        return None
    try:
        compact = signature[:64] + bytes((signature[64] - 27,))
        key = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError:
        return None
    return keccak(key.format(compressed=False)[1:])[12:]


def hexed(octets: bytes) -> str:
    """0x-prefixed lower-case hex."""
    return "0x" + octets.hex()


def octets_of(text: object, length: int, what: str) -> bytes:
    """Exactly `length` bytes from 0x-hex. Raises MalformedError: one id must have one spelling (threat I5)."""
    if isinstance(text, str) and text[:2] == "0x" and len(text) == 2 + 2 * length:
        try:
            octets = bytes.fromhex(text[2:])
        except ValueError:
            octets = b""
        if len(octets) == length:  # fromhex skips white space, which would make it shorter
            return octets
    raise MalformedError(f"{what} is not 0x and {2 * length} hex digits")


def uint_of(number: object, bits: int, what: str) -> int:
    """An unsigned integer below 2**bits from a JSON integer or a plain decimal string. Raises MalformedError."""
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) <= U256_DIGITS:
        if number[0] == "0" and number != "0":
            raise MalformedError(f"{what} has leading zeros")
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 1 << bits:
        return number
    raise MalformedError(f"{what} is not an unsigned {bits}-bit integer")
