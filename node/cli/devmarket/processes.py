"""Child processes that never outlive us: own process groups, logs in files, readiness by HTTP, ended by group.

Knows nothing of chains or nodes.
"""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from node.core.errors import Unavailable

STOP_SECONDS = 8.0
"""How long a process may take to end after SIGTERM before its group is killed."""
POLL_SECONDS = 0.05
OWN_PORTS = range(15_000, 32_000)
"""Below every usual range of ephemeral ports (Linux 32768, macOS and Windows 49152)."""
PR_SET_PDEATHSIG = 1
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain HTTP: to load the machine's certificates costs more than the whole poll."""


class ProcessFailed(Unavailable):
    """A child ended or did not become ready; the message carries the end of its log."""


def free_port() -> int:
    """A loopback port that was free a moment ago, and that no system gives to whoever does not ask for it by number.

    A port from the system's own choice may be the end of somebody's connection by the time a slow engine binds it.
    """
    while True:
        port = secrets.choice(OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _die_with_parent() -> None:
    """Linux: the kernel kills the child when we die, even by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Ours, but children may keep compiled modules: compiling all of them again doubles a node's start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(slots=True)
class Child:
    """One running process and where it writes."""

    name: str
    command: Sequence[str]
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it wrote."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL to the whole group, now."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left of the group."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOP_SECONDS)
        self.kill()


@dataclass(slots=True)
class Processes:
    """All children of one market; use as a context manager so that none is left behind."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Nothing is started yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End every child, the youngest first."""
        self.stop_all()

    def start(self, name: str, command: Sequence[str], extra: Mapping[str, str] | None = None) -> Child:
        """Start a child in its own group; its output goes to FOLDER/NAME.log (appended across restarts)."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(  # noqa: S603 -- our own commands
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 -- one prctl call, before any thread of the child
                env={**_environment(), **self.environment, **(extra or {})},
            )
        child = Child(name, command, log, popen)
        self.children[name] = child
        return child

    def stop_all(self) -> None:
        """End every child, the youngest first."""
        for child in reversed(list(self.children.values())):
            child.stop()
        self.children.clear()


def wait_until(child: Child, is_ready: Callable[[], bool], seconds: float) -> None:
    """Poll until ready. Raises ProcessFailed with the log's end when it dies or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not child.is_running:
            raise ProcessFailed(f"{child.name} ended with status {child.popen.returncode}:\n{child.log_tail()}")
        if is_ready():
            return
        time.sleep(POLL_SECONDS)
    raise ProcessFailed(f"{child.name} was not ready after {seconds:g} s:\n{child.log_tail()}")


def answers_ok(url: str) -> Callable[[], bool]:
    """A readiness check: GET url answers 200."""

    def check() -> bool:
        try:
            return httpx.get(url, timeout=2.0, trust_env=False, verify=NO_CERTIFICATES).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return check
