"""Keystore files: what opens them, what does not, and what the refusal says."""

import json
import os
from pathlib import Path

import pytest

from node.adapters.keys import Secret, create_keystore, load_keystore, read_password
from node.adapters.keys.keystore import read_password_fd, refuse_raw_key
from node.core.errors import BadConfig

pytestmark = pytest.mark.unit
CHEAP = 2
"""Scrypt cost for tests."""
RAW_KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def test_load_keystore__right_password__gives_the_same_key(tmp_path: Path) -> None:
    made = create_keystore(tmp_path / "key.json", Secret(b"pass"), CHEAP)
    assert load_keystore(tmp_path / "key.json", Secret(b"pass")).address == made.address


def test_create_keystore__new_file__is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    create_keystore(tmp_path / "key.json", Secret(b"pass"), CHEAP)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600


def test_create_keystore__file_exists__leaves_it_alone(tmp_path: Path) -> None:
    first = create_keystore(tmp_path / "key.json", Secret(b"pass"), CHEAP)
    with pytest.raises(BadConfig, match="never written over"):
        create_keystore(tmp_path / "key.json", Secret(b"pass"), CHEAP)
    assert load_keystore(tmp_path / "key.json", Secret(b"pass")).address == first.address


def test_create_keystore__empty_password__is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="empty"):
        create_keystore(tmp_path / "key.json", Secret(b""), CHEAP)


def test_create_keystore__folder_missing__is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot write"):
        create_keystore(tmp_path / "none" / "key.json", Secret(b"pass"), CHEAP)


def test_load_keystore__wrong_password__says_so(tmp_path: Path) -> None:
    create_keystore(tmp_path / "key.json", Secret(b"pass"), CHEAP)
    with pytest.raises(BadConfig, match="does not open"):
        load_keystore(tmp_path / "key.json", Secret(b"wrong"))


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"version": 3}', '{"version": 3, "crypto": {"kdf": 1}}'])
def test_load_keystore__not_a_keystore__says_so_and_quotes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(BadConfig, match="not a keystore v3") as caught:
        load_keystore(tmp_path / "key.json", Secret(b"pass"))
    assert caught.value.__cause__ is None


def test_load_keystore__missing_file__says_so(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read the keystore"):
        load_keystore(tmp_path / "key.json", Secret(b"pass"))


def test_load_keystore__file_of_another_wallet__opens(tmp_path: Path) -> None:
    """The scrypt example of the Web3 Secret Storage definition, version 3."""
    document = {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32,
                "n": 262144,
                "p": 8,
                "r": 1,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    }
    (tmp_path / "key.json").write_text(json.dumps(document))
    signer = load_keystore(tmp_path / "key.json", Secret(b"testpassword"))
    assert signer.address.hex() == "008aeeda4d805471df9b2a5b0f38a0c3bcba786b"


@pytest.mark.parametrize(("mode", "is_fine"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_read_password__file_mode__decides(tmp_path: Path, mode: int, is_fine: bool) -> None:  # noqa: FBT001
    file = tmp_path / "password"
    file.write_bytes(b"pass word\r\n")
    file.chmod(mode)
    if is_fine:
        assert read_password(file).reveal() == b"pass word"
        return
    with pytest.raises(BadConfig, match="chmod 600"):
        read_password(file)


def test_read_password__missing_or_empty__is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read the password file"):
        read_password(tmp_path / "none")
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(BadConfig, match="empty"):
        read_password(tmp_path / "empty")


def test_read_password_fd__pipe__is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"pass\n")
    os.close(writer)
    assert read_password_fd(reader).reveal() == b"pass"


def test_read_password_fd__closed__is_refused() -> None:
    with pytest.raises(BadConfig, match="file descriptor"):
        read_password_fd(999)


@pytest.mark.parametrize("text", [RAW_KEY, "0x" + RAW_KEY, " " + RAW_KEY.upper()])
def test_refuse_raw_key__a_raw_key__is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadConfig) as caught:
        refuse_raw_key(text)
    assert RAW_KEY not in str(caught.value).lower()


def test_load_keystore__raw_key_as_file_name__is_refused_before_anything_is_read() -> None:
    with pytest.raises(BadConfig, match="raw private key"):
        load_keystore(Path(RAW_KEY), Secret(b"pass"))
