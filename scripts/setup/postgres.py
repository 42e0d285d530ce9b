"""Make sure the tests find a PostgreSQL: DATABASE_URL, or Debian's binaries, installed here when we are root.

Run as `python3 scripts/setup/postgres.py`. Never fails: without a server the PostgreSQL tests skip and say why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALL = (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "postgresql"])


def is_present() -> bool:
    """Whether tests/fakes/postgres.py will find one."""
    is_given = os.environ.get("DATABASE_URL", "").startswith("postgres")
    return is_given or shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def main() -> None:
    """Install what is missing, or say what is left out."""
    if is_present():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stderr.write("PostgreSQL tests will be skipped: set DATABASE_URL or install the postgresql package\n")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in INSTALL:
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(f"PostgreSQL could not be installed, its tests will be skipped: {done.stderr.strip()}\n")
            return


if __name__ == "__main__":
    main()
