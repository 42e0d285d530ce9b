"""Sealed letters: bytes that only the holder of one fresh secp256k1 key can read (ECDH, then AES-256-GCM)."""

from coincurve import PrivateKey, PublicKey
from Crypto.Cipher import AES

from node.core.errors import BadVoucher
from node.core.hashing import keccak

PUBLIC_BYTES = 33
TAG_BYTES = 16
NONCE = bytes(12)
"""Every key seals one letter."""


class SealedBox:
    """Receives one letter at `address`, a public key that can be told to anybody."""

    def __init__(self) -> None:
        self._key = PrivateKey()

    @property
    def address(self) -> bytes:
        """33 bytes."""
        return self._key.public_key.format()

    def open(self, sealed: bytes) -> bytes:
        """Raises BadVoucher for what was not sealed to this box, or was changed."""
        sender, text, tag = sealed[:PUBLIC_BYTES], sealed[PUBLIC_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:]
        try:
            key = _key(self._key.ecdh(sender), sender, self.address)
            return AES.new(key, AES.MODE_GCM, nonce=NONCE).decrypt_and_verify(text, tag)
        except ValueError as exc:
            raise BadVoucher("this letter was not sealed to this key") from exc


def seal(text: bytes, address: bytes) -> bytes:
    """Sealed to that public key. Raises BadVoucher for bytes that are none."""
    sender = PrivateKey()
    try:
        shared = sender.ecdh(PublicKey(address).format())
    except ValueError as exc:
        raise BadVoucher("the sealing key is no public key") from exc
    public = sender.public_key.format()
    sealed, tag = AES.new(_key(shared, public, address), AES.MODE_GCM, nonce=NONCE).encrypt_and_digest(text)
    return bytes(public + sealed + tag)


def _key(shared: bytes, sender: bytes, receiver: bytes) -> bytes:
    return keccak(b"wwwserve sealed letter" + shared + sender + receiver)
