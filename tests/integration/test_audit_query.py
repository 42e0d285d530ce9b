"""The auditor's queries on a node's real schema, on both databases, and their exports."""

import asyncio
import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy import select as sql_select
from sqlalchemy.exc import SQLAlchemyError
from typer.testing import CliRunner

from node.adapters.ledger.chain_tables import chain_block, chain_event
from node.adapters.ledger.schema import for_writing, open_engine
from node.adapters.ledger.tables import claim, voucher
from node.audit.errors import CannotAuditError
from node.audit.export import write_csv, write_jsonl, write_parquet
from node.audit.query import KINDS, Filters, column_names, open_database, select
from node.cli.audit import app
from tests.factories import NOW, PAYEE, PAYER
from tests.ledgers import SIGNATURE, fresh_ledger, micros, outcome, wish

HUGE = 2**127 + 11
OTHER = b"\x0a" * 20


async def _requests(url: str) -> None:
    async with fresh_ledger(url, cover=2**128 - 1) as (ledger, lease):
        for number, charge in ((1, 7), (2, HUGE), (3, 0)):
            admission = wish(number, lease, ceiling=2**128 - 1, price=max(charge, 1))
            await ledger.admit(admission)
            await ledger.close(admission, outcome(charge), micros(number * 1_000_000))


def _chain(url: str) -> None:
    """One claim and two events, as the chain's side writes them."""
    engine = open_engine(url)
    with for_writing(engine).begin() as connection:
        first = connection.execute(sql_select(voucher.c.id, voucher.c.lane_id)).first()
        row = {"id": 1, "lane_id": first.lane_id, "generation": 1, "seq": micros(9), "cumulative": HUGE + 7, "count": 3}
        row |= {"receipts_root": b"\x05" * 32, "peaks": b"", "signature": SIGNATURE, "voucher_id": first.id}
        connection.execute(insert(claim).values(**row))
        block = {"hash": b"\x01" * 32, "number": 7, "parent": b"\x00" * 32, "timestamp": NOW}
        connection.execute(insert(chain_block).values(**block))
        for place, subject in enumerate((PAYER + PAYEE, OTHER + PAYEE)):
            event = {"block_hash": b"\x01" * 32, "log_index": place, "block_number": 7, "tx_hash": b"\x02" * 32}
            event |= {"contract": "escrow", "name": "Allotted", "kind": "pair", "subject": subject, "args": "{}"}
            connection.execute(insert(chain_event).values(**event))
        event |= {"contract": "duels", "name": "Opened", "kind": "duel", "subject": b"\x0d" * 32, "log_index": 2}
        parties = {"dispatcher": PAYER, "first": PAYEE, "second": OTHER}
        args = {name: "0x" + party.hex() for name, party in parties.items()} | {"prize": str(HUGE), "epoch": "9"}
        connection.execute(insert(chain_event).values(**event | {"args": json.dumps(args)}))
    engine.dispose()


@pytest.fixture
def database_url(ledger_url: str) -> str:
    asyncio.run(_requests(ledger_url))
    _chain(ledger_url)
    return ledger_url


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def rows_of(database: Engine, kind: str, filters: Filters = Filters()) -> list[dict]:  # noqa: B008 -- frozen
    return list(select(database, kind, filters))


def test_select__each_kind__has_its_columns_exact_amounts_and_hex(database: Engine) -> None:
    counts = {"receipts": 3, "charges": 3, "vouchers": 3, "claims": 1, "events": 3, "duels": 1}
    for kind, count in counts.items():
        rows = rows_of(database, kind)
        assert [list(row) for row in rows] == [column_names(kind)] * count
    charges = rows_of(database, "charges")
    assert [row["charge"] for row in charges] == [7, HUGE, 0]
    assert charges[-1]["cumulative"] == rows_of(database, "claims")[0]["cumulative"] == HUGE + 7
    assert charges[0]["payer"] == "0x" + PAYER.hex()
    (duel,) = rows_of(database, "duels")
    assert (duel["duel_id"], duel["prize"], duel["epoch"], duel["outcome"]) == ("0x" + "0d" * 32, HUGE, 9, None)


FILTERED = [
    ("receipts", Filters(payer=PAYER), 3),
    ("receipts", Filters(payer=OTHER), 0),
    ("receipts", Filters(payee=PAYEE), 3),
    ("receipts", Filters(since=NOW + 2), 2),
    ("receipts", Filters(until=NOW + 2), 1),
    ("receipts", Filters(limit=2), 2),
    ("vouchers", Filters(payer=PAYER, until=NOW), 0),
    ("claims", Filters(payee=OTHER), 0),
    ("events", Filters(payer=PAYER), 1),
    ("events", Filters(payee=PAYEE), 2),
    ("events", Filters(since=NOW + 1), 0),
    ("duels", Filters(payer=PAYER), 1),
    ("duels", Filters(payee=OTHER), 1),
    ("duels", Filters(payee=PAYER), 0),
    ("duels", Filters(since=NOW + 1), 0),
]


def test_select__filtered__has_only_those_rows(database: Engine) -> None:
    assert [len(rows_of(database, kind, filters)) for kind, filters, _ in FILTERED] == [n for _, _, n in FILTERED]


def test_open_database__any_write__is_refused(database: Engine) -> None:
    with pytest.raises(SQLAlchemyError), database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM claim")


def test_write_text__rows__come_back_whole(database: Engine) -> None:
    out = io.StringIO()
    assert write_csv(select(database, "charges", Filters()), column_names("charges"), out) == 3
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [int(row["charge"]) for row in rows] == [7, HUGE, 0]
    out = io.StringIO()
    assert write_jsonl(select(database, "charges", Filters()), out) == 3
    assert [json.loads(line)["charge"] for line in out.getvalue().splitlines()] == [7, HUGE, 0]


def test_write_parquet__rows__come_back_whole(database: Engine, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    for kind, about in KINDS.items():
        rows = rows_of(database, kind)
        assert write_parquet(iter(rows), column_names(kind), about.amounts, path) == len(rows)
        plain = [
            {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
            for row in pq.read_table(path).to_pylist()
        ]
        assert plain == rows


# ------------------------------------------------------------------------------------------------- the command line
def test_query__each_text_format__prints_the_rows(database_url: str, tmp_path: Path) -> None:
    command = ["query", "charges", "--db", database_url, "--since", "2000-01-01"]
    for form in ("table", "csv", "jsonl"):
        done = CliRunner().invoke(app, [*command, "--format", form])
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) >= 3
    path = tmp_path / "charges.csv"
    assert CliRunner().invoke(app, [*command, "--format", "csv", "--out", str(path)]).exit_code == 0
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["wages"], "no table"),
        (["charges", "--format", "xml"], "no format"),
        (["charges", "--format", "parquet"], "--out"),
        (["charges", "--payer", "0x12"], "40 hex"),
        (["charges", "--since", "yesterday"], "no time"),
    ],
)
def test_query__wrong_option__exits_2_with_a_sentence(tmp_path: Path, options: list[str], match: str) -> None:
    path = tmp_path / "node.db"
    sqlite3.connect(path).close()
    done = CliRunner().invoke(app, ["query", *options, "--db", str(path)])
    assert done.exit_code == 2
    assert match in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(("url", "match"), [("mysql://x/y", "SQLite or PostgreSQL"), ("::://", "no database URL")])
def test_open_database__another_kind__cannot_audit(url: str, match: str) -> None:
    with pytest.raises(CannotAuditError, match=match):
        open_database(url)


def test_select__not_a_nodes_database__cannot_audit(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    sqlite3.connect(path).close()
    with pytest.raises(CannotAuditError, match="node's database"):
        list(select(open_database(str(path)), "charges", Filters()))


def test_select__file_missing__cannot_audit_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(CannotAuditError):
        list(select(open_database(f"sqlite:///{path}"), "charges", Filters()))
    assert not path.exists()
