"""Make a virtual environment with a working pip, also where Python came without `ensurepip` (Debian splits it off).

The ways are tried in order; each is honest about failing. Packages come from wherever the user's pip or uv is
configured to look. Never touches a system Python: every install goes into a folder of our own.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import SetupError
from .pip import pip_environment, venv_python
from .process import run
from .progress import Step
from .stamps import mark_unfinished

Way = Callable[[Path, str, Step], None]
ADVICE = (
    "This Python cannot make a virtual environment with pip in it, and neither uv nor virtualenv could be had. "
    "Install one of: python3-venv (Debian, Ubuntu), uv, virtualenv; then run this again."
)


def make_venv(folder: Path, step: Step, *, python: str | None = None) -> Path:
    """Make `folder` anew and return its interpreter. `python` must have the version wanted inside."""
    interpreter = python or base_python()
    failures: list[str] = []
    for way in WAYS:
        shutil.rmtree(folder, ignore_errors=True)
        mark_unfinished(folder)  # taken away by write_stamp, when everything is in
        try:
            way(folder, interpreter, step)
            run([venv_python(folder), "-m", "pip", "--version"], step)
        except SetupError as exc:
            failures.append(f"- {way.__name__.strip('_')}: {str(exc).strip().splitlines()[-1].strip()}")
            continue
        return venv_python(folder)
    raise SetupError(f"{ADVICE}\nWhat was tried:\n" + "\n".join(failures))


def base_python() -> str:
    """The interpreter behind this one: an environment made from an environment would die with it."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _by_venv(folder: Path, python: str, step: Step) -> None:
    run([python, "-m", "venv", folder], step)


def _by_uv(folder: Path, python: str, step: Step) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError("uv is not on PATH")
    run([uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", python, folder], step)


def _by_virtualenv(folder: Path, python: str, step: Step) -> None:
    run([python, "-m", "virtualenv", "--quiet", folder], step)


def _by_fetched_virtualenv(folder: Path, python: str, step: Step) -> None:
    """pip without ensurepip (python3-pip, not python3-venv): --target is allowed even in a managed Python."""
    with _scratch() as scratch:
        run([python, "-m", "pip", "install", "--quiet", "--target", scratch, "virtualenv"], step, env=pip_environment())
        environment = pip_environment() | {"PYTHONPATH": str(scratch)}
        run([python, "-m", "virtualenv", "--quiet", "--python", python, folder], step, env=environment)


def _by_foreign_pip(folder: Path, python: str, step: Step) -> None:
    """Another Python's pip can fill an environment that has none (`pip --python`, since 22.3)."""
    pip = next((found for name in ("pip3", "pip") if (found := shutil.which(name)) and _works(found)), None)
    if pip is None:
        raise SetupError("no working pip is on PATH")
    run([python, "-m", "venv", "--without-pip", folder], step)
    run([pip, "--python", venv_python(folder), "install", "--quiet", "pip"], step, env=pip_environment())


def _works(command: str) -> bool:
    return subprocess.run([command, "--version"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wwwserve-setup-") as name:
        yield Path(name)


WAYS: tuple[Way, ...] = (_by_venv, _by_uv, _by_virtualenv, _by_fetched_virtualenv, _by_foreign_pip)
