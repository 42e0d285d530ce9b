"""Keystore v3 files (scrypt) and their passwords. A key enters the process here and nowhere else.

Never takes a raw key as an argument of a command, never writes over a file, never reads a password others can read.
"""

import json
import os
import re
import secrets
import stat
from pathlib import Path

from node.adapters.keys.secret import Secret
from node.adapters.keys.signer import ORDER, LocalSigner
from node.adapters.keys.storage import WrongPasswordError, decrypt, encrypt
from node.core.errors import BadConfig

SCRYPT_COST = 2**18
"""Memory-hard work factor of new files (N, with r = 8): 256 MiB and about a second for each guess."""
MAX_FILE_BYTES = 65_536
_RAW_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")


def create_keystore(path: Path, password: Secret, cost: int = SCRYPT_COST) -> LocalSigner:
    """A new random key in a new file of mode 0600. Raises BadConfig when the file exists or the password is empty."""
    if not password.reveal():
        raise BadConfig("an empty password protects nothing", file=str(path))
    key = Secret((secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big"))
    document = encrypt(key.reveal(), password.reveal(), cost)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise BadConfig(f"{path} exists: keys are never written over", file=str(path)) from exc
    except OSError as exc:
        raise BadConfig(f"cannot write {path}: {exc.strerror}", file=str(path)) from exc
    with os.fdopen(fd, "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())  # a key that was funded and then lost in a power cut is money lost
    return LocalSigner(key)


def load_keystore(path: Path, password: Secret) -> LocalSigner:
    """Open a keystore file. Raises BadConfig: missing, not a keystore, wrong password."""
    refuse_raw_key(str(path))
    document = _read_document(path)
    try:
        key = Secret(decrypt(document, password.reveal()))
    except WrongPasswordError:
        raise BadConfig(f"the password does not open {path}", file=str(path)) from None
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError):
        raise BadConfig(f"{path} is not a keystore v3 file", file=str(path)) from None
    return LocalSigner(key)


def _read_document(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES)
    except OSError as exc:
        raise BadConfig(f"cannot read the keystore {path}: {exc.strerror}", file=str(path)) from exc
    try:
        document = json.loads(raw)
    except ValueError:
        document = None  # the parser's message would quote the file
    if not isinstance(document, dict):
        raise BadConfig(f"{path} is not a keystore v3 file", file=str(path))
    return {str(name).lower(): member for name, member in document.items()}


def read_password(path: Path) -> Secret:
    """A password file of mode 0600 or stricter, less one trailing line end. Raises BadConfig."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(MAX_FILE_BYTES)
    except OSError as exc:
        raise BadConfig(f"cannot read the password file {path}: {exc.strerror}", file=str(path)) from exc
    if mode & 0o077:
        raise BadConfig(f"others can read {path}: run chmod 600 {path}", file=str(path), mode=oct(mode))
    return _password(raw, str(path))


def read_password_fd(fd: int) -> Secret:
    """A password from an open file descriptor (pipe), which is read to its end and closed. Raises BadConfig."""
    try:
        with os.fdopen(fd, "rb") as file:
            raw = file.read(MAX_FILE_BYTES)
    except OSError as exc:
        raise BadConfig(f"cannot read a password from file descriptor {fd}: {exc.strerror}") from exc
    return _password(raw, f"file descriptor {fd}")


def _password(raw: bytes, source: str) -> Secret:
    password = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise BadConfig(f"the password in {source} is empty")
    return Secret(password)


def refuse_raw_key(text: str) -> None:
    """Stop a private key that was given where a file name belongs. Raises BadConfig, which does not repeat it."""
    if _RAW_KEY.fullmatch(text.strip()):
        raise BadConfig(
            "that looks like a raw private key: this program takes keystore files only. Your shell's history and the"
            " process list may have it now: move its funds to another key",
        )
