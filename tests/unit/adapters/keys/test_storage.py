"""Secret Storage, version 3: other programs open ours and we open theirs; what is none is refused."""

import sys

import pytest

from node.adapters.keys.storage import WrongPasswordError, decrypt, encrypt

pytestmark = pytest.mark.unit
KEY = bytes(range(1, 33))
CHEAP = 2


@pytest.fixture(scope="module")
def other() -> object:
    """Another implementation. It lifts Python's recursion limit when it is imported."""
    limit = sys.getrecursionlimit()
    from eth_keyfile import keyfile

    sys.setrecursionlimit(limit)
    return keyfile


def test_encrypt__opened_by_another_program__gives_the_key(other) -> None:
    assert bytes(other.decode_keyfile_json(encrypt(KEY, b"pass", CHEAP), b"pass")) == KEY


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_decrypt__made_by_another_program__gives_the_key(other, kdf: str) -> None:
    assert decrypt(other.create_keyfile_json(KEY, b"pass", kdf=kdf, iterations=CHEAP), b"pass") == KEY


def test_encrypt__twice__never_the_same_salt_or_counter() -> None:
    first, second = (encrypt(KEY, b"pass", CHEAP)["crypto"] for _ in range(2))
    assert first["kdfparams"]["salt"] != second["kdfparams"]["salt"]
    assert first["cipherparams"] != second["cipherparams"]


def test_decrypt__wrong_password_or_touched__is_refused() -> None:
    document = encrypt(KEY, b"pass", CHEAP)
    with pytest.raises(WrongPasswordError):
        decrypt(document, b"Pass")
    document["crypto"]["ciphertext"] = "00" + document["crypto"]["ciphertext"][2:]
    with pytest.raises(WrongPasswordError):
        decrypt(document, b"pass")


@pytest.mark.parametrize(
    ("member", "value"), [("cipher", "aes-256-gcm"), ("kdf", "argon2"), ("kdfparams", {"n": 2}), ("mac", "zz")]
)
def test_decrypt__another_kind_of_document__is_refused(member: str, value: object) -> None:
    document = encrypt(KEY, b"pass", CHEAP)
    document["crypto"][member] = value
    with pytest.raises((ValueError, KeyError)):
        decrypt(document, b"pass")


def test_decrypt__another_version_or_prf__is_refused(other) -> None:
    document = other.create_keyfile_json(KEY, b"pass", kdf="pbkdf2", iterations=CHEAP)
    document["crypto"]["kdfparams"]["prf"] = "hmac-sha1"
    with pytest.raises(ValueError, match="hmac-sha256"):
        decrypt(document, b"pass")
    with pytest.raises(ValueError, match="version 3"):
        decrypt(document | {"version": 4}, b"pass")


def test_decrypt__scrypt_of_endless_memory__is_refused_before_it_begins() -> None:
    document = encrypt(KEY, b"pass", CHEAP)
    document["crypto"]["kdfparams"]["n"] = 2**30
    with pytest.raises(ValueError, match="memory"):
        decrypt(document, b"pass")
