"""One request id bought of two payees: the wallet keeps both, and an older wallet keeps all it had."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from node.client.rows import Origin
from node.client.store import Wallet, open_engine
from node.client.wallet import Limits
from node.core.types import Address, Amount, Bytes32, Seconds
from tests.unit.test_client_wallet import make_purchase

LIMITS = Limits(Amount(10**9), Amount(10**9), Amount(10**9))
ORIGIN = Origin("http://127.0.0.1:1", "/v1/chat/completions", Bytes32(b"\x01" * 32), "", Seconds(5))
OTHER = Address(b"\x77" * 20)


def test_begin__same_id_at_another_payee__is_a_purchase_of_its_own(tmp_path: Path) -> None:
    wallet = Wallet(open_engine(tmp_path / "wallet.db"))
    first = make_purchase(40)
    second = replace(first, key=replace(first.key, payee=OTHER))
    for one in (first, second):
        wallet.run(lambda books, one=one: books.begin(one, ORIGIN, LIMITS))
    wallet.run(lambda books: books.refuse(second))
    states = [
        wallet.run(lambda books, one=one: books.load_purchase(one.key, one.request_id)).purchase.state.value
        for one in (first, second)
    ]
    wallet.close()
    assert states == ["open", "refused"]


def test_migration__a_wallet_of_the_version_before__keeps_its_rows_in_order(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    migrations = Path(__file__).resolve().parents[2] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.set_main_option("version_locations", str(migrations / "wallet" / "versions"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "2026_11_22_answers")
    engine.dispose()
    with sqlite3.connect(file) as old:
        for number in (2, 1, 3):
            purchase = (
                b"p",
                b"q",
                b"l",
                1,
                bytes([number]) * 32,
                "done",
                "{}",
                b"s",
                1,
                1,
                1,
                "u",
                "/",
                b"b",
                "",
                1,
                1,
                0,
            )
            old.execute(f"INSERT INTO purchase VALUES ({','.join('?' * 18)})", purchase)
        receipt = (b"p", b"q", b"l", 1, b"\x02" * 32, 7, "1", "1", "1", "{}", b"s", 1)
        old.execute(f"INSERT INTO receipt VALUES ({','.join('?' * 12)})", receipt)
        old.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?)", (b"p", b"l", b"\x02" * 32, "word", b"s"))
    Wallet(open_engine(file)).close()
    with sqlite3.connect(file) as new:
        ids = [row[0][0] for row in new.execute("SELECT request_id FROM purchase ORDER BY rowid")]
        answers = new.execute("SELECT payee, message FROM answer").fetchall()
        broken = new.execute("PRAGMA foreign_key_check").fetchall()
    assert (ids, answers, broken) == ([2, 1, 3], [(b"q", "word")], [])
