"""Debian packages that the whole test suite would like, installed only as root, only when asked, only when missing.

Nothing of the product needs one. Where they cannot be had, the tests concerned are skipped, and a line says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError
from .process import run
from .progress import Step, say


@dataclass(frozen=True, slots=True)
class SystemPackage:
    """A Debian package, and how to see that it is not needed."""

    name: str
    purpose: str
    is_present: Callable[[], bool]


def has_postgresql() -> bool:
    """A server's binaries, or a server of the user's own."""
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        return True
    return shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


WANTED = (SystemPackage("postgresql", "the tests on PostgreSQL", has_postgresql),)


def ensure_system_packages(wanted: tuple[SystemPackage, ...] = WANTED, *, is_root: bool | None = None) -> bool:
    """True when something was installed. Never an error: a laptop without root still runs the rest."""
    missing = [package for package in wanted if not package.is_present()]
    if not missing:
        return False
    root = os.geteuid() == 0 if is_root is None else is_root
    if shutil.which("apt-get") is None or not root:
        for package in missing:
            say(f"  {package.name}: not here; {package.purpose} will be skipped (apt-get install {package.name})")
        return False
    names = [package.name for package in missing]
    # RUNLEVEL: packages bring services along; none shall be started on somebody's machine.
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        with Step(f"Debian packages {' '.join(names)}") as step:
            run(["apt-get", "update", "-qq"], step, env=environment)
            run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names], step, env=environment)
    except SetupError as exc:
        say(f"  {' '.join(names)}: could not be installed, going on without: {str(exc).splitlines()[-1].strip()}")
        return False
    return True
