"""Which of this machine's Pythons the environment is made from: one may need a third less processor time than another.

What sets them apart is how they were compiled (profile-guided or not), and that cannot be read off reliably: Debian's
optimised Python does not say so. A short run tells. Only Pythons of the running one's version are looked at, since
packages and the engine's environment are chosen for it. Any trouble means: the running one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .progress import say
from .stamps import read_stamp
from .venvs import base_python

VERSION = "{}.{}".format(*sys.version_info[:2])
WORTH = 0.9
"""Another Python is taken when it needs at most this share of the running one's time: less may be chance."""
ROUNDS = 3
PROBE_SECONDS = 20
PROBE = """
import ssl, sqlite3, sys, time, venv
class Point:
    __slots__ = ("x", "y")
    def __init__(self, x, y): self.x, self.y = x, y
    def total(self): return self.x + self.y
def work():
    found = {}
    for n in range(7500):
        point, key = Point(n, n + 1), "k%d" % (n & 63)
        found[key] = found.get(key, 0) + point.total()
        found[key] += len([p.x for p in (point, point, point)]) + len((n.to_bytes(4, "big") + b"abc").hex())
best = 9.0
for _ in range(6):
    started_at = time.process_time()
    work()
    best = min(best, time.process_time() - started_at)
print("%d.%d" % sys.version_info[:2], best)
"""
"""What a node does all day (calls, members, dictionaries, bytes), the best of some turns; and what it must import."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The interpreter to make an environment from, and why; "" where there was nothing to choose."""

    python: str
    reason: str = ""


def choose_python(own: str | None = None) -> Choice:
    """PYTHON of the environment (`make PYTHON=...`) if it says one, else the fastest of the running version."""
    own = own or base_python()
    named = os.environ.get("PYTHON", "")
    if named:
        found = shutil.which(named)
        return Choice(found, "as PYTHON says") if found else Choice(own, f"PYTHON={named} is not there")
    others = _others(own)
    times = _measure([own, *others]) if others else {}
    if own not in times:
        return Choice(own)
    best = min(times, key=lambda python: times[python])
    if times[best] > WORTH * times[own]:
        return Choice(own)
    saved = round(100 * (1 - times[best] / times[own]))
    return Choice(best, f"{saved} % less processor time than {own} in a short run; PYTHON=... takes another")


def _others(own: str) -> list[str]:
    """Interpreters of the running version on PATH and in /usr/bin, each once."""
    name = f"python{VERSION}"
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]
    found = {os.path.realpath(path): path for folder in reversed(folders) if _is_program(path := f"{folder}/{name}")}
    found.pop(os.path.realpath(own), None)
    return list(found.values())


def _is_program(path: str) -> bool:
    """No script (a version manager's shim starts whatever its own files say), no link of an environment."""
    if not os.access(path, os.X_OK) or (Path(path).parent.parent / "pyvenv.cfg").exists():
        return False
    try:
        with Path(path).open("rb") as file:
            return file.read(2) != b"#!"
    except OSError:
        return False


def _measure(pythons: list[str]) -> dict[str, float]:
    """Seconds of the probe, in turns, so that whatever else the machine does hits all of them alike."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for python in pythons:
            seconds = _probe(python)
            if seconds is not None:
                best[python] = min(best.get(python, seconds), seconds)
    return best


def _probe(python: str) -> float | None:
    """None for one that does not start, is of another version or lacks a module that a node needs."""
    command = [python, "-I", "-c", PROBE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
        version, seconds = done.stdout.split()
        return float(seconds) if version == VERSION else None
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def given_python() -> str:
    """The Python that set-up was started with. The engine's environment stays with it, whatever runs the node.

    vLLM compiles, and a Python chosen for its speed may lack the headers that this needs.
    """
    stamp = read_stamp(Path(sys.prefix))
    given = stamp.get("given")
    is_fit = isinstance(given, str) and stamp.get("given_version") == VERSION and os.access(given, os.X_OK)
    return str(given) if is_fit else base_python()


def tell(choice: Choice) -> None:
    """One line, when there was something to choose."""
    if choice.reason:
        say(f"  Python: {choice.python} ({choice.reason})")
