"""pip inside an environment of ours: its command line, its environment variables, and its progress as a bar.

Where packages come from is the user's configuration alone (pip.conf, PIP_* variables); no index is named here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .process import Watch, run
from .progress import Step


def venv_python(folder: Path) -> Path:
    """Where a POSIX virtual environment keeps its interpreter."""
    return folder / "bin" / "python"


def site_packages(folder: Path) -> Path:
    """The environment's package folder (of the version inside, which need not be ours)."""
    found = sorted((folder / "lib").glob("python3.*/site-packages"))
    return found[0] if found else folder / "lib" / "missing"


def pip_environment() -> dict[str, str]:
    """The user's environment as it is, less what would make pip ask or wander off (PYTHONPATH, a user site)."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_USER"}}
    return kept | {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def pip_install(venv: Path, arguments: Sequence[str | Path], step: Step, *, cwd: Path | None = None) -> None:
    """`pip install ARGUMENTS` in the environment, with a bar."""
    command = [venv_python(venv), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    run(command, step, watch=_watch(venv), cwd=cwd, env=pip_environment())


def pip_download(venv: Path, arguments: Sequence[str | Path], step: Step, *, into: Path) -> None:
    """`pip download` of one wheel; the growing folder is the progress."""

    def watch(shown: Step, _: Sequence[str]) -> None:
        shown.show(None, f"{_megabytes(into)} MB")

    command = [
        venv_python(venv),
        "-m",
        "pip",
        "download",
        "--progress-bar",
        "off",
        "--no-deps",
        "--dest",
        into,
        *arguments,
    ]
    run(command, step, watch=watch, env=pip_environment())


def _watch(venv: Path) -> Watch:
    """A spinner while pip collects; a bar once it has said how many it will unpack."""
    before = _installed(venv)

    def watch(step: Step, lines: Sequence[str]) -> None:
        plan = next((line for line in reversed(lines) if line.startswith("Installing collected packages:")), "")
        if plan:
            total, there = plan.count(",") + 1, _installed(venv) - before
            step.show(there / total, f"installed {there} of {total}")
            return
        found = [line.split()[1] for line in lines if line.startswith("Collecting ")]
        step.show(None, f"found {len(found)}: {found[-1]}" if found else "")

    return watch


def _installed(venv: Path) -> int:
    return sum(1 for _ in site_packages(venv).glob("*.dist-info"))


def _megabytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*")) // 1_000_000
