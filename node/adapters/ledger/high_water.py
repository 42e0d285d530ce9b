"""The high-water file beside the operator's keystore: how far receipts had come, kept where no backup is.

Written after each durable group of writes and before anybody hears of them, so that a receipt that was ever shown is
below the mark. One positioned write of 128 bytes, without fsync: after a kill the page cache has it; a power cut may
lose the last seconds, and then only a backup younger than those seconds would go unnoticed.
"""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from node.core.errors import BadConfig, BooksStale
from node.core.hashing import Domain, keccak
from node.core.messages import Receipt
from node.core.recovery import INSTRUCTION, Mark, behind_line
from node.core.types import Address, Micros

WIDTH = 128
"""Bytes of the file, always: it is written over in place, so a full disk cannot stop it."""
log = logging.getLogger(__name__)


class HighWater:
    """The mark in memory and in its file. Without a path (tests, tools) it is kept in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = Lock()
        self._fd: int | None = None
        self._mark = None if path is None else read_mark(path)
        self.is_behind = False
        """Set when a database that came back turned out to be an older one."""

    @property
    def seen(self) -> Mark | None:
        """The newest mark; None before the first."""
        return self._mark

    def accept(self, mark: Mark) -> None:
        """The books as they are now are the truth: at a sound start, and after a new generation was opened."""
        with self._lock:
            self._mark, self.is_behind = mark, False
            self._write(mark)
            if self._fd is not None:
                os.fsync(self._fd)

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Receipts that have just become durable."""
        with self._lock:
            before = self._mark
            if before is None or not receipts:
                return
            generation = max(before.generation, *(receipt.generation for receipt in receipts))
            seq = Micros(max(before.seq, *(receipt.seq for receipt in receipts)))
            self._mark = Mark(generation, before.count + len(receipts), seq)
            self._write(self._mark)

    def check(self, books: Mark) -> None:
        """After a reconnect. Raises BooksStale when another, older database answers now."""
        seen = self._mark
        if seen is not None and books.is_behind(seen):
            self.is_behind = True
            raise BooksStale(f"{behind_line(books, seen)}; {INSTRUCTION}")

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _write(self, mark: Mark) -> None:
        if self._path is None:
            return
        line = json.dumps({"generation": mark.generation, "count": mark.count, "seq": mark.seq})
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            os.pwrite(self._fd, line.ljust(WIDTH - 1).encode() + b"\n", 0)
        except OSError as exc:  # the receipts are durable already; the next group tries again
            log.error("the high-water file %s cannot be written: %s", self._path, exc.strerror)  # noqa: TRY400


def path_beside(keystore: Path, domain: Domain, payee: Address) -> Path:
    """One file for each payee on each chain: a key may serve a test market, too."""
    tag = keccak(domain.separator + payee).hex()[:8]
    return keystore.with_name(f"{keystore.name}.{tag}.high-water")


def read_mark(path: Path) -> Mark | None:
    """None when there is no file. Raises BadConfig for one that cannot be read: it must not count as none."""
    try:
        document = json.loads(path.read_text(encoding="ascii"))
        return Mark(int(document["generation"]), int(document["count"]), Micros(int(document["seq"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise BadConfig(
            f"the high-water file {path} cannot be read; if it is damaged, move it away and {INSTRUCTION}",
            file=str(path),
        ) from exc
