"""A database per test, on SQLite and on PostgreSQL where there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.postgres import NoPostgresError, fresh_database, postgres_server

HOME = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    try:
        with postgres_server() as server:
            yield server
    except NoPostgresError as exc:
        pytest.skip(str(exc))


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database's URL; every test runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        yield url
