"""The wallet's tables (SQLite), as SQLAlchemy Core. Only `books.py` uses them; migrations/wallet makes them.

Receipts, findings and settlements are append-only. Purses and day totals are sums kept beside them: `Books.recount`
compares the two.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator

from node.core.types import U128_MAX

AMOUNT_DIGITS = 39
"""2^128 has 39 decimal digits; zero-padded, the texts sort and compare like the numbers."""


class AmountText(TypeDecorator[int]):
    """An exact unsigned 128-bit integer as zero-padded decimal text: SQLite's own integers end at 2^63."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:  # noqa: ARG002 -- library's signature
        """To the database. Raises ValueError outside 0..2^128-1."""
        if value is None:
            return None
        if not 0 <= value <= U128_MAX:
            raise ValueError(f"amount {value} is not an unsigned 128-bit integer")
        return f"{value:0{AMOUNT_DIGITS}d}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:  # noqa: ARG002 -- library's
        """From the database."""
        return None if value is None else int(value)


metadata = MetaData()


def _lane_columns() -> list[Column[object]]:
    return [
        Column("payer", LargeBinary(20), nullable=False),
        Column("payee", LargeBinary(20), nullable=False),
        Column("lane", LargeBinary(20), nullable=False),
        Column("generation", Integer, nullable=False),
    ]


def _amount(name: str) -> Column[int]:
    return Column(name, AmountText, nullable=False)


purse = Table(
    "purse",
    metadata,
    *_lane_columns(),
    _amount("base"),
    _amount("ceiling"),
    _amount("heard"),
    _amount("explained"),
    _amount("verified"),
    _amount("in_flight"),
    Column("gap_since", Integer),
    PrimaryKeyConstraint("payer", "payee", "lane", "generation"),
    CheckConstraint("verified <= explained", name="purse_verified_is_explained"),
)

stopped = Table(
    "stopped",
    metadata,
    Column("payer", LargeBinary(20), nullable=False),
    Column("payee", LargeBinary(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("stopped_at", Integer, nullable=False),
    PrimaryKeyConstraint("payer", "payee"),
)

spend = Table(
    "spend",
    metadata,
    Column("day", Integer, primary_key=True),
    _amount("amount"),
)

purchase = Table(
    "purchase",
    metadata,
    *_lane_columns(),
    Column("request_id", LargeBinary(32), nullable=False),
    Column("state", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("day", Integer, nullable=False),
    Column("start_by", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("body_hash", LargeBinary(32), nullable=False),
    Column("retry_key", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("tokens_seen", Integer, nullable=False),
    Column("hung_up", Integer, nullable=False),
    PrimaryKeyConstraint("payer", "payee", "lane", "request_id"),
    CheckConstraint("state IN ('open', 'done', 'refused', 'dropped')", name="purchase_state"),
    Index("purchase_by_body", "body_hash", "created_at"),
    Index("purchase_by_state", "state", "start_by"),
)

receipt = Table(
    "receipt",
    metadata,
    *_lane_columns(),
    Column("request_id", LargeBinary(32), nullable=False),
    Column("seq", Integer, nullable=False),
    _amount("charge"),
    _amount("credit"),
    _amount("cumulative"),
    Column("message", Text, nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    Column("booked_at", Integer, nullable=False),
    PrimaryKeyConstraint("payer", "payee", "lane", "request_id"),
    ForeignKeyConstraint(
        ["payer", "payee", "lane", "request_id"],
        ["purchase.payer", "purchase.payee", "purchase.lane", "purchase.request_id"],
    ),
    CheckConstraint("credit <= charge AND charge <= cumulative", name="receipt_amounts"),
    Index("receipt_by_seq", "payer", "payee", "lane", "generation", "seq"),
)

answer = Table(
    "answer",
    metadata,
    Column("payer", LargeBinary(20), nullable=False),
    Column("payee", LargeBinary(20), nullable=False),
    Column("lane", LargeBinary(20), nullable=False),
    Column("request_id", LargeBinary(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    PrimaryKeyConstraint("payer", "payee", "lane", "request_id"),
    ForeignKeyConstraint(
        ["payer", "payee", "lane", "request_id"],
        ["receipt.payer", "receipt.payee", "receipt.lane", "receipt.request_id"],
    ),
)

finding = Table(
    "finding",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("found_at", Integer, nullable=False),
    Column("payer", LargeBinary(20), nullable=False),
    Column("payee", LargeBinary(20), nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)

settlement = Table(
    "settlement",
    metadata,
    Column("tx_hash", LargeBinary(32), nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block_number", Integer, nullable=False),
    *_lane_columns(),
    Column("seq", Integer, nullable=False),
    _amount("cumulative"),
    _amount("paid"),
    _amount("claimed_after"),
    Column("count", Integer, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("verdict", Text, nullable=False),
    PrimaryKeyConstraint("tx_hash", "log_index"),
)

cursor = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("block_number", Integer, nullable=False),
)
