"""The owner's view of the wallet: what is exposed to whom, what today has cost, what went wrong. Reads only."""

from typing import Any

from node.client.books import Books
from node.client.trade import DAY_SECONDS
from node.client.wallet import Limits, Purse
from node.core.types import Seconds
from node.core.wire import hex_of


def read_status(books: Books, limits: Limits, now: Seconds) -> dict[str, Any]:
    """Amounts in base units, as text."""
    spent = books.load_spend(now // DAY_SECONDS).amount
    return {
        "spent_today": str(spent),
        "left_today": str(max(limits.daily - spent, 0)),
        "limits": {
            "exposure": str(limits.exposure),
            "per_request": str(limits.per_request),
            "daily": str(limits.daily),
        },
        "lanes": [_lane(purse) for purse in books.load_purses()],
        "open_requests": len(books.load_open()),
        "findings": books.load_findings(),
    }


def _lane(purse: Purse) -> dict[str, Any]:
    key = purse.key
    return {
        "payer": hex_of(key.payer),
        "payee": hex_of(key.payee),
        "lane": hex_of(key.lane),
        "generation": key.generation,
        "ceiling": str(purse.ceiling),
        "verified": str(purse.verified),
        "explained": str(purse.explained),
        "heard": str(purse.heard),
        "in_flight": str(purse.in_flight),
        "exposed": str(purse.exposed),
        "stopped": purse.stopped or None,
    }
