"""Between the wallet's rows and its types. No query here."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from node.client.wallet import Purchase, PurchaseState, Purse
from node.core.messages import Terms
from node.core.types import Address, Bytes32, LaneKey, Seconds
from node.core.wire import message_from_json, message_to_json


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a purchase came from and went to: what a retry is recognised by (`retry_key`, `body_hash`)."""

    url: str
    path: str
    body_hash: Bytes32
    retry_key: str
    created_at: Seconds


def purchase_values(purchase: Purchase, origin: Origin) -> dict[str, object]:
    """A new purchase's row."""
    return {
        **lane_values(purchase.key),
        "request_id": purchase.request_id,
        "state": purchase.state.value,
        "terms": json.dumps(message_to_json(purchase.terms)),
        "salt": purchase.salt,
        "prompt_tokens": purchase.prompt_tokens,
        "day": purchase.day,
        "start_by": purchase.terms.start_by,
        "url": origin.url,
        "path": origin.path,
        "body_hash": origin.body_hash,
        "retry_key": origin.retry_key,
        "created_at": origin.created_at,
        "tokens_seen": 0,
        "hung_up": 0,
    }


def purchase_of(row: Row[Any]) -> Purchase:
    """From a row of `purchase`."""
    terms = message_from_json(Terms, json.loads(row.terms))
    salt, state = Bytes32(row.salt), PurchaseState(row.state)
    return Purchase(key_of(row), terms, salt, row.prompt_tokens, row.day, state)


def purse_of(row: Row[Any]) -> Purse:
    """From a row of `purse`; whether its payee is stopped stands in another table."""
    totals = (row.base, row.ceiling, row.heard, row.explained, row.verified, row.in_flight)
    return Purse(key_of(row), *totals, gap_since=row.gap_since)


def key_of(row: Row[Any]) -> LaneKey:
    """The lane and generation of any row that has them."""
    return LaneKey(Address(row.payer), Address(row.payee), Address(row.lane), row.generation)


def lane_values(key: LaneKey) -> dict[str, object]:
    """A lane's columns."""
    return {"payer": key.payer, "payee": key.payee, "lane": key.lane, "generation": key.generation}


def is_lane(table: Any, key: LaneKey) -> tuple[Any, ...]:  # noqa: ANN401 -- any table with lane columns
    """WHERE lane and generation."""
    return (
        table.c.payer == key.payer,
        table.c.payee == key.payee,
        table.c.lane == key.lane,
        table.c.generation == key.generation,
    )


def is_request(table: Any, key: LaneKey, request_id: Bytes32) -> tuple[Any, ...]:  # noqa: ANN401 -- as above
    """WHERE (payer, payee, lane, request id)."""
    pair = (table.c.payer == key.payer, table.c.payee == key.payee)
    return (*pair, table.c.lane == key.lane, table.c.request_id == request_id)


def request_values(key: LaneKey, request_id: Bytes32) -> dict[str, object]:
    """A request's primary key."""
    return {"payer": key.payer, "payee": key.payee, "lane": key.lane, "request_id": request_id}
