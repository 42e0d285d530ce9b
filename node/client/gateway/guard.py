"""Who may speak to the gateway: it spends money, and every web page in the owner's browser can reach the loopback.

Host defeats DNS rebinding, Origin defeats other pages' scripts, the key defeats other users of the machine.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.core.errors import BadConfig, Refused

KEY_PREFIX = "wws-"


class WrongKey(Refused):
    """The Authorization header does not carry this gateway's API key (see its --api-key-file)."""


class ForeignCaller(Refused):
    """The Host or Origin header is not this gateway's own: a web page may be behind it."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What is let in. `origins` are web pages that the owner named."""

    api_key: str
    port: int
    origins: frozenset[str] = frozenset()

    def check_place(self, headers: Mapping[str, str]) -> None:
        """Host and Origin. Raises ForeignCaller."""
        own = {f"127.0.0.1:{self.port}", f"localhost:{self.port}", f"[::1]:{self.port}"}
        if headers.get("Host", "").lower() not in own:
            raise ForeignCaller("the Host header is not this gateway's own address")
        origin = headers.get("Origin")
        if origin is not None and origin not in self.origins and origin not in {f"http://{host}" for host in own}:
            raise ForeignCaller(
                "this Origin may not use the gateway: start it with --allow-origin ORIGIN if it is yours"
            )

    def check_key(self, headers: Mapping[str, str]) -> None:
        """The bearer key, compared in constant time. Raises WrongKey."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.api_key.encode()):
            raise WrongKey("the API key is wrong: it stands in the file that the gateway names at its start")


def load_api_key(path: Path) -> str:
    """The key of a file of mode 0600; made at the first start. Raises BadConfig."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    except OSError as exc:
        raise BadConfig(f"cannot write the API key file {path}: {exc.strerror}", file=str(path)) from exc
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    with os.fdopen(fd, "w") as file:
        file.write(key + "\n")
    return key


def _read_key(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise BadConfig(f"others can read {path}: run chmod 600 {path}", file=str(path))
        key = path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise BadConfig(f"cannot read the API key file {path}: {exc.strerror}", file=str(path)) from exc
    if not key.startswith(KEY_PREFIX) or not key.isascii():
        raise BadConfig(f"{path} holds no gateway key: remove it to have a new one made", file=str(path))
    return key
