"""The process between the supervisor and vLLM: it sees to it that no part of vLLM outlives us, whoever is killed.

  python -I leash.py RUN_FOLDER COMMAND...      standard input: a pipe whose other end the supervisor holds

The command runs in a process group of its own. When the pipe closes (the supervisor died, even by SIGKILL) the whole
group is killed and RUN_FOLDER removed. When the command ends by itself its group is killed too: vLLM's EngineCore
survives its API server, with two gigabytes. SIGTERM is passed on to the command alone, which then drains.
Standard library only; imports nothing of the node, so that it starts in a few milliseconds.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1
LOCK_FILE = "leash.lock"  # held for our life: a run folder whose lock is free was left behind


def main(arguments: list[str]) -> int:
    """Returns the command's exit code, 128 + signal as a shell would."""
    folder, command = arguments[0], arguments[1:]
    _hold_lock(f"{folder}/{LOCK_FILE}")
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_die_with_parent)  # noqa: PLW1509, S603
    signal.signal(signal.SIGTERM, lambda *_: _pass_on(child.pid, signal.SIGTERM))
    orphaned = threading.Event()
    threading.Thread(target=_watch_lifeline, args=(child.pid, orphaned), daemon=True).start()
    # Not reaped yet: while it is a zombie its group id cannot belong to anybody else.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    kill_group(child.pid)
    code = child.wait()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)  # else the supervisor reads the log first, then removes it
    return 128 - code if code < 0 else code


def kill_group(group: int) -> None:
    """SIGKILL to every member; SIGTERM would leave EngineCore alive."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _watch_lifeline(group: int, orphaned: threading.Event) -> None:
    """Only kills; the main thread, which the kill wakes, does the rest."""
    while os.read(0, 1):
        pass
    orphaned.set()
    kill_group(group)


def _pass_on(process_id: int, sign: int) -> None:
    """Not Popen.send_signal, which would reap the child while main() counts on its zombie."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, sign)


def _hold_lock(path: str) -> None:
    """Locked before it has its name, so that nobody can find it unlocked. The descriptor stays open on purpose."""
    lock = os.open(f"{path}.new", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(f"{path}.new", path)  # noqa: PTH104 - pathlib doubles the start time


def _die_with_parent() -> None:
    """If this leash itself is killed, the command's first process goes too; the supervisor then kills the rest."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
