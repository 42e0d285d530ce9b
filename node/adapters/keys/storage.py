"""Web3 Secret Storage, version 3: a key as a JSON document under a password, and back. Reads and writes no file.

By hand, though eth_keyfile does it too: that package brings a library of pairings along for another version of the
format, and importing it is half of a node's start. PyCryptodome derives and ciphers; nothing is invented here.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from typing import Any

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt

from node.core.hashing import keccak

CIPHER, VERSION = "aes-128-ctr", 3
SCRYPT_R, SCRYPT_P, DERIVED_BYTES = 8, 1, 32
MOST_MEMORY = 2**31
"""Bytes that a document may make scrypt use."""


class WrongPasswordError(ValueError):
    """The password does not open this document."""


def encrypt(key: bytes, password: bytes, cost: int) -> dict[str, Any]:
    """A document that only `password` opens. `cost` is scrypt's N."""
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(16)
    kdf = {"dklen": DERIVED_BYTES, "n": cost, "r": SCRYPT_R, "p": SCRYPT_P, "salt": salt.hex()}
    derived = _scrypt(kdf, password)
    ciphertext = _cipher(derived, nonce, key)
    return {
        "version": VERSION,
        "id": str(uuid.uuid4()),
        "crypto": {
            "cipher": CIPHER,
            "cipherparams": {"iv": nonce.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": kdf,
            "mac": keccak(derived[16:32] + ciphertext).hex(),
        },
    }


def decrypt(document: Mapping[str, Any], password: bytes) -> bytes:
    """The key. Raises WrongPasswordError; ValueError, KeyError or TypeError for what is no such document."""
    crypto = document["crypto"]
    if document["version"] != VERSION or crypto["cipher"] != CIPHER:
        raise ValueError("only version 3 with aes-128-ctr is read")
    derived = _KDFS[crypto["kdf"]](crypto["kdfparams"], password)
    ciphertext = bytes.fromhex(crypto["ciphertext"])
    if not hmac.compare_digest(keccak(derived[16:32] + ciphertext), bytes.fromhex(crypto["mac"])):
        raise WrongPasswordError("the password does not open this key")
    return _cipher(derived, bytes.fromhex(crypto["cipherparams"]["iv"]), ciphertext)


def _cipher(derived: bytes, nonce: bytes, data: bytes) -> bytes:
    """Counter mode: the same both ways."""
    return AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=nonce).encrypt(data)


def _scrypt(params: Mapping[str, Any], password: bytes) -> bytes:
    # Not hashlib's: OpenSSL refuses the cost parameters of the format's own example.
    cost, r = params["n"], params["r"]
    if 128 * r * cost > MOST_MEMORY:
        raise ValueError("this document wants more memory than a key is worth")
    derived = scrypt(password, bytes.fromhex(params["salt"]), params["dklen"], N=cost, r=r, p=params["p"])  # type: ignore[arg-type]
    return bytes(derived)  # type: ignore[arg-type]


def _pbkdf2(params: Mapping[str, Any], password: bytes) -> bytes:
    if params["prf"] != "hmac-sha256":
        raise ValueError("only hmac-sha256 is read")
    return hashlib.pbkdf2_hmac("sha256", password, bytes.fromhex(params["salt"]), params["c"], params["dklen"])


_KDFS = {"scrypt": _scrypt, "pbkdf2": _pbkdf2}
