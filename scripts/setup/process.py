"""Run one child command, show its progress, keep its output, and leave nothing running when we are interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from .errors import SetupError
from .progress import Step

TAIL_LINES = 15
TICK_SECONDS = 0.2
GRACE_SECONDS = 3.0

Watch = Callable[[Step, Sequence[str]], None]  # called on every tick with all output lines so far


def run(
    command: Iterable[object],
    step: Step,
    *,
    watch: Watch | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run to the end and return the output. Raises SetupError with the tail of it when the command fails."""
    argv = [str(part) for part in command]
    lines: list[str] = []
    try:
        child = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            errors="replace", cwd=cwd, env=dict(env) if env is not None else None, start_new_session=True,
            close_fds=False,  # the lock (stamps.locked) goes along; nothing else is inheritable
        )  # fmt: skip
    except OSError as exc:
        raise SetupError(f"{argv[0]} could not be started: {exc}") from exc
    reader = threading.Thread(target=_collect, args=(child, lines), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(TICK_SECONDS)
            (watch or _spin)(step, lines)
        code = child.wait()
    finally:
        _end_group(child)
        reader.join(GRACE_SECONDS)
        if not reader.is_alive() and child.stdout is not None:
            child.stdout.close()
    if code != 0:
        raise SetupError(_explain(argv, code, lines))
    return "\n".join(lines)


def _collect(child: subprocess.Popen[str], lines: list[str]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.append(line.rstrip())  # noqa: PERF401 - the other thread reads while it grows


def _spin(step: Step, lines: Sequence[str]) -> None:
    step.show(None, lines[-1] if lines else "")


def _end_group(child: subprocess.Popen[str]) -> None:
    """Ctrl-C must not leave pip or npm writing into a folder that the next run rebuilds."""
    if child.poll() is not None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
            return


def _explain(argv: Sequence[str], code: int, lines: Sequence[str]) -> str:
    tail = "\n".join(f"    {line}" for line in deque((x for x in lines if x.strip()), maxlen=TAIL_LINES))
    return f"this command ended with {code}:\n    {' '.join(argv)}\nIts last lines:\n{tail}"
