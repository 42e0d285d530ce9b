"""Progress that a person can read: one redrawn bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TextIO

BAR_CELLS = 24
REDRAW_SECONDS = 0.2
LOG_LINE_SECONDS = 15.0  # a CI log should show life, not fill up
SPINNER = "|/-\\"


@dataclass(slots=True)
class Step:
    """One named step. `fraction` None means the end is unknown: a spinner is drawn instead of a bar."""

    title: str
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    started_at: float = 0.0
    drawn_at: float = 0.0
    frame: int = 0

    def __enter__(self) -> Self:
        self.started_at = self.drawn_at = self.clock()
        if not self.out.isatty():
            self._line("...")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = self.clock() - self.started_at
        word = "done" if kind is None else "FAILED"
        self._erase()
        self._line(f"{word} in {seconds:.1f} s")

    def show(self, fraction: float | None, note: str = "") -> None:
        """Draw at most five times a second on a terminal, every 15 s elsewhere."""
        now = self.clock()
        pause = REDRAW_SECONDS if self.out.isatty() else LOG_LINE_SECONDS
        if now - self.drawn_at < pause:
            return
        self.drawn_at = now
        self.frame += 1
        gauge = _bar(fraction) if fraction is not None else SPINNER[self.frame % len(SPINNER)]
        if self.out.isatty():
            room = shutil.get_terminal_size().columns - 1  # a wrapped line could not be redrawn
            self.out.write("\r\x1b[K" + f"  {self.title}: {gauge} {note}"[:room])
            self.out.flush()
            return
        self._line(f"{gauge} {note}"[:100])

    def _erase(self) -> None:
        if self.out.isatty():
            self.out.write("\r\x1b[K")

    def _line(self, text: str) -> None:
        self.out.write(f"  {self.title}: {text}\n")
        self.out.flush()


def say(text: str, *, out: TextIO | None = None) -> None:
    """One line for the person at the terminal; standard output stays free for --json."""
    print(text, file=out or sys.stderr, flush=True)


def _bar(fraction: float) -> str:
    full = round(max(0.0, min(1.0, fraction)) * BAR_CELLS)
    return f"[{'#' * full}{'.' * (BAR_CELLS - full)}] {round(100 * max(0.0, min(1.0, fraction))):3d} %"
