"""Stamps and locks: how a second run knows in milliseconds that nothing is to be done, and a killed run that all is.

A stamp is written last, after everything it vouches for, and holds a digest of the inputs. The mark `.unfinished` is
written before the first change; a folder that bears it was interrupted (even by kill -9) and is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import SetupError
from .progress import Step

STAMP = ".wwwserve-stamp.json"
UNFINISHED = ".wwwserve-unfinished"
LOCK_POLL_SECONDS = 0.5


def digest_of(*parts: str | Path) -> str:
    """sha256 over strings and file contents, each with its length so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        blob = part.read_bytes() if isinstance(part, Path) else part.encode()
        total.update(len(blob).to_bytes(8, "big") + blob)
    return total.hexdigest()


def sha256_file(path: Path) -> str:
    """Digest of a file that may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_stamp(folder: Path) -> dict[str, object]:
    """The stamp's fields; empty when there is none, it is unreadable, or the folder was left unfinished."""
    if (folder / UNFINISHED).exists():
        return {}
    try:
        stamp = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(folder: Path, **fields: object) -> None:
    """Write the stamp whole or not at all, then take the unfinished mark away."""
    draft = folder / f"{STAMP}.{os.getpid()}"
    draft.write_text(json.dumps(fields, indent=1, sort_keys=True))
    draft.replace(folder / STAMP)
    (folder / UNFINISHED).unlink(missing_ok=True)


def mark_unfinished(folder: Path) -> None:
    """From here until `write_stamp` the folder is not to be trusted."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNFINISHED).touch()


@contextlib.contextmanager
def locked(path: Path, title: str) -> Iterator[None]:
    """Hold an exclusive file lock. The kernel drops it when its holders have died, so a stale lock cannot exist.

    Child commands inherit it (`process.run`): if we are killed, pip may still be writing, and the next run waits.
    """
    if sys.platform == "win32":
        raise SetupError("Windows is not supported directly: use the Windows Subsystem for Linux.")
    import fcntl  # noqa: PLC0415 - does not exist on Windows, which must get the sentence above

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not _try_lock(file.fileno()):
            _wait_for(file.fileno(), title)
        os.set_inheritable(file.fileno(), True)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _wait_for(handle: int, title: str) -> None:
    with Step(f"{title}: another set-up is running, waiting for it") as step:
        while not _try_lock(handle):
            step.show(None)
            time.sleep(LOCK_POLL_SECONDS)


def _try_lock(handle: int) -> bool:
    import fcntl  # noqa: PLC0415 - see locked()

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
