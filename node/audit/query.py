"""Read-only questions to a payee's database: one SELECT a kind, filters bound, rows streamed. It never writes.

The schema is documented in docs/ledger.md; this reads it by name, so that an auditor needs no code of the node's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from node.audit.crypto import hexed
from node.audit.errors import CannotAuditError

MICROSECONDS = 1_000_000
ROWS_AT_ONCE = 2_000
_PADDED = re.compile(r"\d{39}")


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be asked for. `clock` is the time column, `unit` its ticks a second, `amounts` the base-unit columns."""

    columns: tuple[str, ...]
    source: str
    clock: str
    unit: int
    amounts: frozenset[str]
    within: str = ""
    """What orders rows of one time."""


_CLAIM_SOURCE = "claim JOIN lane ON lane.id = claim.lane_id"
_VOUCHER_SOURCE = "voucher JOIN lane ON lane.id = voucher.lane_id JOIN agreement ON agreement.id = voucher.agreement_id"
_EVENT_SOURCE = "chain_event JOIN chain_block ON chain_block.hash = chain_event.block_hash"
_LANE = ("lane.payer AS payer", "lane.payee AS payee", "lane.lane AS lane")
_COUNTED = ("prompt_tokens", "completion_tokens", "status", "charge", "cumulative")
KINDS: Mapping[str, Kind] = {
    "receipts": Kind(
        (
            *("payer", "payee", "lane", "generation", "seq", "position", "request_id", "context", "request_hash"),
            *("response_hash", "answer_hash", *_COUNTED, "signature"),
        ),
        "charge",
        "seq",
        MICROSECONDS,
        frozenset({"charge", "cumulative"}),
    ),
    "charges": Kind(
        (
            *("payer", "payee", "lane", "generation", "seq", "request_id", "model", "offer_hash", "price_prompt"),
            *("price_completion", "max_price", "ceiling", *_COUNTED),
        ),
        "charge",
        "seq",
        MICROSECONDS,
        frozenset({"charge", "cumulative", "price_prompt", "price_completion", "max_price", "ceiling"}),
    ),
    "claims": Kind(
        (*_LANE, *("generation", "seq", "cumulative", "receipts_root", "count", "signature")),
        _CLAIM_SOURCE,
        "seq",
        MICROSECONDS,
        frozenset({"cumulative"}),
    ),
    "vouchers": Kind(
        (
            *_LANE,
            *("generation", "request_id", "ceiling", "context", "signature", "offer_hash", "model", "price_prompt"),
            *("price_completion", "max_price", "start_by", "received_at"),
        ),
        _VOUCHER_SOURCE,
        "received_at",
        1,
        frozenset({"ceiling", "price_prompt", "price_completion", "max_price"}),
    ),
    "events": Kind(
        (
            *("chain_event.block_number AS block", "chain_block.timestamp AS at", "log_index", "contract", "name"),
            *("kind", "subject", "args", "tx_hash"),
        ),
        _EVENT_SOURCE,
        "chain_block.timestamp",
        1,
        frozenset(),
        "block_number, log_index",
    ),
    "duels": Kind(
        (
            *("duel_id", "opened_block", "log_index", "opened_at", "ended_block", "dispatcher", "first", "second"),
            *("request_id", "first_answer", "second_answer", "evidence_root", "epoch", "attempt", "draw_block"),
            *("outcome", "prize", "slashed", "share", "bond_back", "appeal_back"),
        ),
        "duel",
        "opened_at",
        1,
        frozenset({"prize", "slashed", "share", "bond_back", "appeal_back"}),
        "opened_block, log_index",
    ),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows; times in Unix seconds, `until` not included; `limit` 0 = all."""

    payer: bytes = b""
    payee: bytes = b""
    since: int | None = None
    until: int | None = None
    limit: int = 0


def column_names(kind: str) -> list[str]:
    """The columns of a kind, in order."""
    return [column.rpartition(" ")[2].rpartition(".")[2] for column in KINDS[kind].columns]


def open_database(url: str) -> Engine:
    """A database by URL, or a SQLite file by its path, that cannot be written to. Raises CannotAuditError."""
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError as exc:
        raise CannotAuditError(f"{url!r} is no database URL; for example sqlite:///node.db") from exc
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        path = parsed.database or ""
        return create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    if backend != "postgresql":
        raise CannotAuditError(f"a node's database is SQLite or PostgreSQL, not {backend}")
    return create_engine(parsed.set(drivername="postgresql+psycopg"), execution_options={"postgresql_readonly": True})


def select(engine: Engine, kind: str, filters: Filters) -> Iterator[dict[str, Any]]:
    """The rows, oldest first, as plain ints, texts and 0x-hex. Raises CannotAuditError."""
    statement, values = _statement(kind, filters, engine.dialect.name)
    names = column_names(kind)
    try:
        with engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
            for row in connection.execute(text(statement), values):
                yield _plain(names, row, KINDS[kind].amounts)
    except SQLAlchemyError as exc:
        reason = str(exc).partition("\n")[0]
        raise CannotAuditError(f"the database cannot be read ({reason}); is this a node's database?") from exc


def _statement(kind: str, filters: Filters, dialect: str) -> tuple[str, dict[str, object]]:
    """Only names from this file and bound values: nothing a user typed becomes SQL."""
    about = KINDS[kind]
    wheres: list[str] = []
    values: dict[str, object] = {}
    for role in ("payer", "payee"):
        address: bytes = getattr(filters, role)
        if address:
            wheres.append(_holds(kind, role, dialect))
            values[role] = hexed(address) if kind == "duels" else address
    for name, sign, moment in (("since", ">=", filters.since), ("until", "<", filters.until)):
        if moment is not None:
            wheres.append(f"{about.clock} {sign} :{name}")
            values[name] = moment * about.unit
    where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    limit = " LIMIT :limit" if filters.limit else ""
    order = f"{about.clock}, {about.within}" if about.within else about.clock
    if filters.limit:
        values["limit"] = filters.limit
    columns = ", ".join(about.columns)
    return f"SELECT {columns} FROM {about.source}{where} ORDER BY {order}{limit}", values  # noqa: S608 -- see above


def _holds(kind: str, role: str, dialect: str) -> str:
    if kind == "duels":
        return "dispatcher = :payer" if role == "payer" else ":payee IN (first, second)"
    if kind != "events":
        return f"{role} = :{role}"
    # An event's subject is its addresses, one after the other.
    return f"instr(subject, :{role}) > 0" if dialect == "sqlite" else f"position(:{role} IN subject) > 0"


def _plain(names: Sequence[str], row: Sequence[Any], amounts: frozenset[str]) -> dict[str, Any]:
    return {name: _value(value, name in amounts) for name, value in zip(names, row, strict=True)}


def _value(value: Any, is_amount: bool) -> Any:  # noqa: ANN401, FBT001 -- whatever the driver gives
    if isinstance(value, bytes | memoryview):
        return hexed(bytes(value))
    if is_amount and isinstance(value, str) and _PADDED.fullmatch(value):
        return int(value)
    return int(value) if isinstance(value, Decimal) else value
