"""The schema: the migrations build what tables.py says, go up and down, and refuse what the invariants forbid."""

import itertools

import pytest
from sqlalchemy import insert, inspect, select
from sqlalchemy.exc import DBAPIError

from migrations.render import LATER, statements
from node.adapters.ledger import tables, views
from node.adapters.ledger.schema import downgrade, for_writing, migrate, open_engine
from node.adapters.ledger.types import exact_sum
from node.core.errors import BadConfig, LedgerUnavailable
from tests.integration.conftest import HOME

BIG = 2**127


def test_migrations__both_dialects__equal_the_tables() -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    for revision, name in itertools.product(("initial", *LATER), ("sqlite", "postgresql")):
        frozen = (HOME / f"migrations/ledger/{revision}.{name}.sql").read_text()
        dialect = {"sqlite": sqlite, "postgresql": postgresql}[name].dialect()
        made = statements(dialect, revision)
        wanted = ";\n\n".join(line.replace("\t", "    ") for line in made).replace(" \n", "\n")
        assert frozen == wanted + ";\n"


def test_migrate__twice_down_and_up__leaves_every_table(ledger_url: str) -> None:
    migrate(ledger_url)
    migrate(ledger_url)
    downgrade(ledger_url, "base")
    engine = open_engine(ledger_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    migrate(ledger_url)
    assert set(tables.metadata.tables) <= set(inspect(engine).get_table_names())
    with engine.connect() as connection:
        assert connection.execute(select(views.charge)).all() == []
    engine.dispose()


def test_amounts__two_to_the_127__are_kept_compared_and_summed_exactly(ledger_url: str) -> None:
    migrate(ledger_url)
    engine = open_engine(ledger_url)
    amounts = [BIG, BIG - 1, 1, 10**19, 2**128 - 1]
    with for_writing(engine).begin() as connection:
        for number, amount in enumerate(amounts):
            row = {"payer": bytes([number]) * 20, "payee": b"\xbb" * 20, "thawing": 0, "thaw_end": 0, "committed": 0}
            connection.execute(insert(tables.pair).values(**row, cover=amount))
    with engine.connect() as connection:
        ordered = connection.execute(select(tables.pair.c.cover).order_by(tables.pair.c.cover)).scalars().all()
        total = connection.execute(select(exact_sum(tables.pair.c.cover))).scalar_one()
        below = select(exact_sum(tables.pair.c.cover)).where(tables.pair.c.cover < BIG)
        assert connection.execute(below).scalar_one() == BIG - 1 + 1 + 10**19
        none = select(exact_sum(tables.pair.c.cover)).where(tables.pair.c.payee == b"")
        assert connection.execute(none).scalar_one() == 0
    engine.dispose()
    assert ordered == sorted(amounts)
    assert total == sum(amounts)


@pytest.mark.parametrize("amount", ["-1", "340282366920938463463374607431768211456", "12", "1e5"])
def test_amount__outside_u128_or_malformed__is_refused_by_the_schema(ledger_url: str, amount: str) -> None:
    migrate(ledger_url)
    engine = open_engine(ledger_url)
    is_valid_number = engine.dialect.name == "postgresql" and amount in ("12", "1e5")
    sql = f"INSERT INTO pair (payer, payee, cover, committed, thawing, thaw_end) VALUES ({_zeros(engine)}, '{amount}', "
    sql += f"'{'0' * 39}', '{'0' * 39}', 0)"
    with for_writing(engine).begin() as connection:
        if is_valid_number:
            connection.exec_driver_sql(sql)
        else:
            with pytest.raises(DBAPIError):
                connection.exec_driver_sql(sql)
    engine.dispose()


def _zeros(engine: object) -> str:
    blob = "zeroblob(20)" if engine.dialect.name == "sqlite" else "decode(repeat('00', 20), 'hex')"
    return f"{blob}, {blob}"


def test_migrate__unusable_place__says_so_without_a_trace(tmp_path: object) -> None:
    with pytest.raises(LedgerUnavailable):
        migrate(f"sqlite:////{tmp_path}/missing/ledger.db")


@pytest.mark.parametrize("url", ["nonsense", "mysql://root@localhost/x", "sqlite://"])
def test_open_engine__foreign_url__is_bad_config(url: str) -> None:
    with pytest.raises(BadConfig):
        open_engine(url)


def test_migrate__schema_of_a_later_version__is_bad_config(ledger_url: str) -> None:
    migrate(ledger_url)
    engine = open_engine(ledger_url)
    with for_writing(engine).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_the_future'")
    engine.dispose()
    with pytest.raises(BadConfig):
        migrate(ledger_url)
