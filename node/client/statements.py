"""The wallet's hot statements, built once: building an expression costs several times its execution. No logic.

Parameters are the columns' names; an update's own are prefixed `old_`, since its columns' names are taken.
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Table, bindparam, select, update
from sqlalchemy.dialects.sqlite import insert

from node.client import tables

PAIR = ("payer", "payee")
LANE = (*PAIR, "lane")
GENERATION = (*LANE, "generation")
REQUEST = ("payer", "payee", "lane", "request_id")
"""A duel buys one request id of two payees."""
TOTALS = ("base", "ceiling", "heard", "explained", "verified", "in_flight", "gap_since")


def _equal(table: Table, *names: str, prefix: str = "") -> tuple[ColumnElement[bool], ...]:
    return tuple(table.c[name] == bindparam(prefix + name) for name in names)


def _upsert(table: Table, keys: tuple[str, ...], values: tuple[str, ...]) -> Any:  # noqa: ANN401 -- dialect's own type
    new = insert(table)
    return new.on_conflict_do_update(index_elements=list(keys), set_={name: new.excluded[name] for name in values})


_purse, _receipt = tables.purse, tables.receipt
_this_generation: BindParameter[int] = bindparam("generation")
_this_seq: BindParameter[int] = bindparam("seq")

PURSE = select(_purse).where(*_equal(_purse, *GENERATION))
EARLIER_PURSE = (
    select(_purse)
    .where(*_equal(_purse, *LANE), _purse.c.generation < _this_generation)
    .order_by(_purse.c.generation.desc())
    .limit(1)
)
LATER_PURSES = select(_purse).where(*_equal(_purse, *LANE), _purse.c.generation > _this_generation)
SAVE_PURSE = _upsert(_purse, GENERATION, TOTALS)
STOP_REASON = select(tables.stopped.c.reason).where(*_equal(tables.stopped, *PAIR))

SPEND = select(tables.spend.c.amount).where(*_equal(tables.spend, "day"))
SAVE_SPEND = _upsert(tables.spend, ("day",), ("amount",))

ADD_PURCHASE = insert(tables.purchase)
PURCHASE = select(tables.purchase).where(*_equal(tables.purchase, *REQUEST))
SAVE_STATE = update(tables.purchase).where(*_equal(tables.purchase, *REQUEST, prefix="old_"))

ADD_RECEIPT = insert(_receipt)
ADD_ANSWER = insert(tables.answer).on_conflict_do_nothing()
ANSWER = select(tables.answer.c.message, tables.answer.c.signature).where(*_equal(tables.answer, *REQUEST))
RECEIPT = select(_receipt.c.message, _receipt.c.signature).where(*_equal(_receipt, *REQUEST))
RECEIPT_BEFORE = (
    select(_receipt.c.message)
    .where(*_equal(_receipt, *GENERATION), _receipt.c.seq <= _this_seq)
    .order_by(_receipt.c.seq.desc())
    .limit(1)
)
RECEIPT_AFTER = (
    select(_receipt.c.message)
    .where(*_equal(_receipt, *GENERATION), _receipt.c.seq > _this_seq)
    .order_by(_receipt.c.seq)
    .limit(1)
)
