"""secp256k1 by libsecp256k1: sign a digest, recover a signer. Knows no message type and never shows its key."""

from coincurve import PrivateKey, PublicKey

from node.adapters.keys.secret import Secret
from node.core.errors import BadConfig, WrongSignature
from node.core.hashing import keccak
from node.core.types import Address, Bytes32, Signature

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
HALF_ORDER = (ORDER // 2).to_bytes(32, "big")
V_OFFSET = 27
KEY_BYTES = DIGEST_BYTES = 32
SIGNATURE_BYTES = 65


class LocalSigner:
    """`ports.Signer` over a key in this process's memory."""

    __slots__ = ("_address", "_key")

    def __init__(self, secret: Secret) -> None:
        raw = secret.reveal()
        if len(raw) != KEY_BYTES or not 0 < int.from_bytes(raw, "big") < ORDER:
            raise BadConfig("this is not a secp256k1 private key")
        self._key = PrivateKey(raw)
        self._address = _address_of(self._key.public_key)

    @property
    def address(self) -> Address:
        """The key's address."""
        return self._address

    def sign(self, digest: Bytes32) -> Signature:
        """Deterministic (RFC 6979), low s, v in {27, 28}. `digest` must be 32 bytes."""
        if len(digest) != DIGEST_BYTES:
            raise BadConfig("only a 32-byte digest is signed", length=len(digest))
        raw = self._key.sign_recoverable(digest, hasher=None)
        return Signature(raw[:64] + bytes((raw[64] + V_OFFSET,)))

    def __repr__(self) -> str:
        return f"LocalSigner(0x{self._address.hex()})"


def recover(digest: Bytes32, signature: Signature) -> Address:
    """Who signed. Raises WrongSignature for anything but 65 bytes with low s and v in {27, 28}.

    One signature has one encoding: a high s or another v would make a second valid form of the same voucher.
    """
    if len(signature) != SIGNATURE_BYTES or len(digest) != DIGEST_BYTES:
        raise WrongSignature("a signature is 65 bytes over a 32-byte digest")
    if signature[64] not in (V_OFFSET, V_OFFSET + 1):
        raise WrongSignature("v must be 27 or 28", v=signature[64])
    if signature[32:64] > HALF_ORDER:
        raise WrongSignature("s must be in the lower half of the order")
    compact = signature[:64] + bytes((signature[64] - V_OFFSET,))
    try:
        public = PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError as exc:
        raise WrongSignature("the signature recovers to no key") from exc
    return _address_of(public)


def _address_of(public: PublicKey) -> Address:
    return Address(keccak(public.format(compressed=False)[1:])[12:])
