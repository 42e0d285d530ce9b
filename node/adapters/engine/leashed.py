"""One running vLLM: its leash, its run folder, its log. Starts it, asks for its health, ends it, says why it ended."""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from node.adapters.engine import leash
from node.adapters.engine.command import EngineSpec, build_command, build_environment

PREFIX = "wwwserve-engine-"
LOG = "engine.log"
LOG_TAIL_BYTES = 16_384
CAUSE_LINES = 6
PROBE_SECONDS = 5.0
KILL_SECONDS = 10.0
_ERROR = re.compile(r"\b\w*(?:Error|error:|Exception)\b")
_MERE_NOTE = re.compile(r"\b(?:WARNING|INFO|DEBUG) \d\d-\d\d ")  # vLLM warns of errors that might come
_NOISE = re.compile(r"^\([A-Za-z]+ pid=\d+\) |^(?:ERROR|WARNING|INFO) [\d-]+ [\d:]+ \[[^\]]*\] ")


class LeashedEngine:
    """Made by `start`; `end` leaves nothing behind, and may be called again when it was cancelled."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, port: int) -> None:
        self.port = port
        self.folder = folder
        self._process = process

    @classmethod
    async def start(cls, spec: EngineSpec, port: int, environment: Mapping[str, str]) -> Self:
        """Start the leash and, under it, vLLM. Returns at once; vLLM needs half a minute more."""
        folder = _make_folder()
        command = [sys.executable, "-I", leash.__file__, str(folder), *build_command(spec, port)]
        with (folder / LOG).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,  # also the mark by which stragglers are found
                env=build_environment(spec, folder, environment),
                start_new_session=True,  # Ctrl-C in our terminal is for us; we then drain the engine
            )
        return cls(process, folder, port)

    async def wait(self) -> int:
        """Until the leash has ended, and with it (if it was not killed) the whole engine."""
        return await self._process.wait()

    async def is_healthy(self) -> bool:
        """GET /health answered 200. Says nothing about draining: vLLM answers 200 then, too."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await _probe(self.port)
        except (OSError, TimeoutError):
            return False

    async def end(self, grace_seconds: float) -> None:
        """SIGTERM, time to drain, then SIGKILL to the group. With no grace, the last at once."""
        if grace_seconds > 0 and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_seconds)
        if self._process.stdin is not None:
            self._process.stdin.close()  # the lifeline: the leash kills the group and goes
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), KILL_SECONDS)
        kill_processes_in(self.folder)  # if the leash itself was killed, its group may live on
        await self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def explain(self) -> str:
        """Why it ended, for a person: the exit code and the last telling lines of its log."""
        code = self._process.returncode
        how = "it is still running" if code is None else f"exit code {code}"
        return f"{how}; its log ends with:\n" + "\n".join(f"    {line}" for line in _telling_lines(self.folder / LOG))


def _make_folder() -> Path:
    """Without links on the way, as the kernel will tell it of a working folder."""
    return Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()


def remove_stale_runs(temporary: Path | None = None) -> int:
    """What stayed when a supervisor and its leash were killed together. Returns how many runs that was."""
    found = 0
    for folder in (temporary or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        if _is_left_behind(folder):
            kill_processes_in(folder)
            shutil.rmtree(folder, ignore_errors=True)
            found += 1
    return found


def kill_processes_in(folder: Path) -> None:
    """SIGKILL to every process whose working folder this is: all of one engine, and nobody else.

    Not by group or by parent: ids are used again, and parents die. Not by environment: vLLM overwrites its own.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder:
                os.kill(int(entry.name), signal.SIGKILL)


def _is_left_behind(folder: Path) -> bool:
    """Its leash holds no lock any more. A folder without a lock file may be a start in this very moment."""
    try:
        with (folder / leash.LOCK_FILE).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


async def _probe(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return status.split()[1:2] == [b"200"]


def _telling_lines(log: Path) -> list[str]:
    """The last lines that name an error, else the last lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ["(no log)"]
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line) and not _MERE_NOTE.search(line)]
    return [_strip(line) for line in (errors or lines or ["(empty)"])[-CAUSE_LINES:]]


def _strip(line: str) -> str:
    """Without vLLM's process and time columns."""
    for _ in range(2):
        line = _NOISE.sub("", line)
    return line.strip()
