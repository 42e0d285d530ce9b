"""A PostgreSQL for tests: DATABASE_URL if it names one, else Debian's binaries in a temporary folder, else a skip."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine

MISSING = "PostgreSQL tests need DATABASE_URL=postgresql://... or the postgresql package (apt-get install postgresql)"


class NoPostgresError(Exception):
    """Neither a URL nor binaries."""


def _binaries() -> Path | None:
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if homes:
        return homes[0].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server that may be filled with databases. Raises NoPostgresError."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given.replace("postgres://", "postgresql://", 1)
        return
    binaries = _binaries()
    if binaries is None:
        raise NoPostgresError(MISSING)
    home = Path(tempfile.mkdtemp(prefix="wwwserve-pg-"))
    try:
        yield from _run(binaries, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(binaries: Path, home: Path) -> Iterator[str]:
    """initdb and pg_ctl, as the user postgres when we are root (the server refuses root)."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:
        shutil.chown(home, "postgres", "postgres")
    control = [*prefix, str(binaries / "pg_ctl"), "-D", str(home / "data"), "-w", "-s"]

    def call(command: list[str]) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home)

    init = [*prefix, str(binaries / "initdb"), "-D", str(home / "data"), "-A", "trust", "-U", "postgres", "-N"]
    call([*init, "-E", "UTF8", "--locale=C"])
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c max_connections=60"
    call([*control, "-o", options, "-l", str(home / "log"), "start"])
    try:
        yield f"postgresql://postgres@/postgres?host={home}"
    finally:
        call([*control, "-m", "immediate", "stop"])


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """The URL of an empty database on that server; dropped afterwards."""
    name = f"wwwserve_{uuid4().hex[:12]}"
    driver = server.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(driver, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield engine.url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        engine.dispose()
