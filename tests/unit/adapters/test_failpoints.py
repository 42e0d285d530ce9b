"""Fail points: the named boundary, the nth crossing, nothing at all when off, never outside the development chain."""

import sqlite3

import pytest
from sqlalchemy import create_engine, text

from node.adapters.failpoints import BOUNDARIES, NAMES, FailPoint, read_fail_point
from node.app import Books
from node.core.errors import BadConfig
from node.core.facts import ChainBatch
from node.ports.ledger import Ledger
from node.ports.settling import Outbox, SettlementBook

pytestmark = pytest.mark.unit


class Died(BaseException):
    """Instead of SIGKILL."""


def die() -> None:
    raise Died


class Book:
    def __init__(self) -> None:
        self.done: list[str] = []

    async def admit(self, what: str) -> str:
        self.done.append(what)
        return what

    async def book(self, batch: ChainBatch) -> None:
        self.done.append("booked")

    def sign(self, digest: bytes) -> bytes:
        self.done.append("signed")
        return digest


def test_fail_point__off__hands_back_the_same_objects() -> None:
    book, point = Book(), read_fail_point("", 1)
    assert all(point.wrap(boundary.port, book) is book for boundary in BOUNDARIES.values())
    assert point.engine(book) is book
    assert point.serving(book) is book


@pytest.mark.parametrize(("name", "done"), [("before-admit", ["a"]), ("after-admit", ["a", "b"])])
async def test_fail_point__second_crossing__dies_before_or_after_the_call(name: str, done: list[str]) -> None:
    book = Book()
    armed = read_fail_point(f"{name}:2", 31337, die).wrap("ledger", book)
    assert await armed.admit("a") == "a"
    with pytest.raises(Died):
        await armed.admit("b")
    assert book.done == done
    assert await armed.admit("c") == "c"


def test_fail_point__plain_method__is_fused_too_and_other_ports_are_left_alone() -> None:
    book, point = Book(), read_fail_point("after-sign-claim:1", 31337, die)
    assert point.wrap("receipt_signer", book) is book
    with pytest.raises(Died):
        point.wrap("claim_signer", book).sign(b"x")
    assert book.done == ["signed"]


async def test_fail_point__book_events__counts_only_batches_with_events() -> None:
    book = Book()
    armed = read_fail_point("before-book-events:1", 31337, die).wrap("chain_book", book)
    await armed.book(ChainBatch((), (), 0))
    with pytest.raises(Died):
        await armed.book(ChainBatch((), (object(),), 0))  # type: ignore[arg-type]
    assert book.done == ["booked"]


class Exchange:
    async def read(self) -> bytes:
        return b"token"


class Engine:
    def open(self, path: str, body: bytes) -> Exchange:
        return Exchange()


class Caller:
    async def answer(self) -> None:
        return None


class Serving:
    in_flight = 3

    async def serve(self, path: str, header: bytes | None, caller: Caller) -> None:
        await caller.answer()


async def test_fail_point__token__counts_over_all_exchanges() -> None:
    engine = read_fail_point("before-token:2", 31337, die).engine(Engine())  # type: ignore[arg-type]
    assert await engine.open("/", b"").read() == b"token"
    with pytest.raises(Died):
        await engine.open("/", b"").read()


async def test_fail_point__send_receipt__wraps_the_caller_and_nothing_else() -> None:
    serving = read_fail_point("after-send-receipt:1", 31337, die).serving(Serving())
    assert serving.in_flight == 3
    with pytest.raises(Died):
        await serving.serve("/", None, Caller())


def test_fail_point__before_commit__rows_are_not_there(tmp_path) -> None:
    database = create_engine(f"sqlite:///{tmp_path}/a.db")
    seen = []
    FailPoint("before-commit", 1, lambda: seen.append(rows_of(tmp_path))).watch_commits(database)
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
    with database.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    database.dispose()
    assert seen == [0]
    assert rows_of(tmp_path) == 1


def rows_of(folder) -> int:
    connection = sqlite3.connect(folder / "a.db")
    try:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        connection.close()


def test_fail_point__before_commit_on_postgresql__is_refused() -> None:
    database = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(BadConfig, match="SQLite only"):
        FailPoint("before-commit").watch_commits(database)


@pytest.mark.parametrize(
    ("armed", "chain", "why"),
    [
        ("after-admit:1", 1, "development chain"),
        ("after-admit", 31337, "NAME:COUNT"),
        ("after-admit:0", 31337, "NAME:COUNT"),
        ("after-admit:x", 31337, "NAME:COUNT"),
        ("after-lunch:1", 31337, "no fail point"),
        ("after-commit:1", 31337, "no fail point"),
    ],
)
def test_fail_point__nonsense_or_a_real_chain__is_refused(armed: str, chain: int, why: str) -> None:
    with pytest.raises(BadConfig, match=why):
        read_fail_point(armed, chain)


def test_fail_point__every_name__names_methods_that_the_ports_have() -> None:
    ports = {"ledger": Ledger, "outbox": Outbox, "settlement": SettlementBook}
    for boundary in BOUNDARIES.values():
        port = ports.get(boundary.port)
        assert port is None or all(hasattr(port, method) for method in boundary.methods)
    assert len(NAMES) == 2 * len(BOUNDARIES) - 1
    assert {"ledger", "chain", "settlement", "outbox"} <= set(Books.__dataclass_fields__)
