"""What may be asked of the books row by row: six kinds, their public columns, filters, pages by key. Loads nothing.

Salts, leases and row numbers are not among the columns: the first are the two parties' own, the others say nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from node.core.types import Address, Seconds

LONGEST_PAGE = 1_000
RowCursor = tuple[int, int]
"""Where a page ended; what the two numbers are is the ledger's own business."""
ROWS_START: RowCursor = (-1, -1)
ColumnType = Literal["bytes", "integer", "amount", "text"]


class RowKind(StrEnum):
    """A kind of rows."""

    RECEIPTS = "receipts"
    CLAIMS = "claims"
    VOUCHERS = "vouchers"
    CHARGES = "charges"
    EVENTS = "events"
    DUELS = "duels"


@dataclass(frozen=True, slots=True)
class RowFilters:
    """None = any. `since` <= time < `until`, Unix seconds."""

    payer: Address | None = None
    payee: Address | None = None
    lane: Address | None = None
    since: Seconds | None = None
    until: Seconds | None = None


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows by column name, and where the next page begins; None at the end."""

    rows: Sequence[Mapping[str, Any]]
    next: RowCursor | None


_LANE: Mapping[str, ColumnType] = {"payer": "bytes", "payee": "bytes", "lane": "bytes", "generation": "integer"}
_COUNTED: Mapping[str, ColumnType] = {
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "status": "integer",
    "charge": "amount",
    "cumulative": "amount",
}
_PRICED: Mapping[str, ColumnType] = {
    "offer_hash": "bytes",
    "model": "bytes",
    "price_prompt": "amount",
    "price_completion": "amount",
    "max_price": "amount",
    "ceiling": "amount",
}
COLUMNS: Mapping[RowKind, Mapping[str, ColumnType]] = {
    RowKind.RECEIPTS: {
        **_LANE,
        "seq": "integer",
        "position": "integer",
        "request_id": "bytes",
        "context": "bytes",
        "request_hash": "bytes",
        "response_hash": "bytes",
        "answer_hash": "bytes",
        **_COUNTED,
        "signature": "bytes",
    },
    RowKind.CHARGES: {**_LANE, "seq": "integer", "request_id": "bytes", **_PRICED, **_COUNTED},
    RowKind.CLAIMS: {
        **_LANE,
        "seq": "integer",
        "cumulative": "amount",
        "receipts_root": "bytes",
        "count": "integer",
        "signature": "bytes",
    },
    RowKind.VOUCHERS: {
        **_LANE,
        "request_id": "bytes",
        "context": "bytes",
        "signature": "bytes",
        **_PRICED,
        "start_by": "integer",
        "received_at": "integer",
    },
    RowKind.EVENTS: {
        "block_number": "integer",
        "block_hash": "bytes",
        "timestamp": "integer",
        "log_index": "integer",
        "tx_hash": "bytes",
        "contract": "text",
        "name": "text",
        "kind": "text",
        "subject": "bytes",
        "args": "text",
    },
    RowKind.DUELS: {
        "duel_id": "bytes",
        **dict.fromkeys(("opened_block", "log_index", "opened_at", "ended_block"), "integer"),
        **dict.fromkeys(("dispatcher", "first", "second", "request_id"), "text"),
        **dict.fromkeys(("first_answer", "second_answer", "evidence_root"), "text"),
        **dict.fromkeys(("epoch", "attempt", "draw_block", "outcome"), "integer"),
        **dict.fromkeys(("prize", "slashed", "share", "bond_back", "appeal_back"), "amount"),
    },
}
"""Public columns in their order."""
