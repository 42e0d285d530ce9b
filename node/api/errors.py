"""Errors as HTTP: one table class -> status, one JSON shape. The code in the body is the class name in snake case.

A class that is not in the table is a bug of ours: 500, logged, and its text never reaches the caller.
"""

from typing import Any, NamedTuple

from node.core import errors as e


class Shown(NamedTuple):
    """How a class is shown."""

    status: int
    type: str


INVALID, PAYMENT, UNAVAILABLE, INTERNAL = (
    "invalid_request_error",
    "payment_error",
    "unavailable_error",
    "internal_error",
)

STATUS: dict[type[e.WwwserveError], Shown] = {
    e.BadRequest: Shown(400, INVALID),
    e.NotOffered: Shown(400, INVALID),
    e.PromptTooLong: Shown(400, INVALID),
    e.BadVoucher: Shown(400, PAYMENT),
    e.UnknownModel: Shown(404, INVALID),
    e.NotFound: Shown(404, INVALID),
    e.Gone: Shown(410, INVALID),
    e.TooLarge: Shown(413, INVALID),
    e.MissingPayment: Shown(402, PAYMENT),
    e.WrongSignature: Shown(402, PAYMENT),
    e.WrongPayee: Shown(402, PAYMENT),
    e.WrongTerms: Shown(402, PAYMENT),
    e.StaleTerms: Shown(402, PAYMENT),
    e.StaleGeneration: Shown(402, PAYMENT),
    e.PriceTooLow: Shown(402, PAYMENT),
    e.CeilingTooLow: Shown(402, PAYMENT),
    e.CoverTooLow: Shown(402, PAYMENT),
    e.LaneFrozen: Shown(409, PAYMENT),
    e.InProgress: Shown(409, PAYMENT),
    e.AlreadyServed: Shown(409, PAYMENT),
    e.TermsConflict: Shown(409, PAYMENT),
    e.Overloaded: Shown(429, UNAVAILABLE),
    e.Draining: Shown(503, UNAVAILABLE),
    e.EngineFailed: Shown(502, UNAVAILABLE),
    e.PeerFailed: Shown(502, UNAVAILABLE),
    e.PeerRefused: Shown(502, UNAVAILABLE),
    e.LedgerUnavailable: Shown(503, UNAVAILABLE),
    e.BooksStale: Shown(503, UNAVAILABLE),
    e.TowerUnavailable: Shown(503, UNAVAILABLE),
    e.KeyNotHere: Shown(503, UNAVAILABLE),
    e.LaneAhead: Shown(503, UNAVAILABLE),
    e.ChainUnavailable: Shown(503, UNAVAILABLE),
    e.BadConfig: Shown(500, INTERNAL),
    e.CallReverted: Shown(500, INTERNAL),
    e.TxRefused: Shown(500, INTERNAL),
    e.Refused: Shown(400, INVALID),
    e.Unavailable: Shown(503, UNAVAILABLE),
    e.Broken: Shown(500, INTERNAL),
    e.WwwserveError: Shown(500, INTERNAL),
}
"""Base classes are listed so that every name of the tree has an answer; nothing raises them as such."""

AMOUNTS = frozenset(
    {
        "best_ceiling",
        "cap",
        "charge",
        "charged",
        "cover",
        "cover_left",
        "max_price",
        "minimum_budget",
        "needed",
        "reserved",
        "shortfall",
    },
)
"""Facts that are amounts: decimal strings on the wire, like every amount (they may exceed 2^53)."""


def shown(error: e.WwwserveError) -> Shown:
    """The table, exact class only."""
    return STATUS.get(type(error), Shown(500, INTERNAL))


def error_document(error: e.WwwserveError) -> dict[str, Any]:
    """The OpenAI shape, with `retryable` and the facts beside it."""
    status, kind = shown(error)
    facts = {} if status == 500 else dict(error.facts)
    param = facts.pop("param", None)
    message = "internal error" if status == 500 else error.message
    return {
        "error": {"message": message, "type": kind, "code": error.code(), "param": param},
        "retryable": error.retryable,
        **{name: str(fact) if name in AMOUNTS else fact for name, fact in facts.items()},
    }


def retry_after(error: e.WwwserveError) -> str | None:
    """Seconds for the Retry-After header of what may be retried."""
    if not error.retryable:
        return None
    return str(error.facts.get("retry_after", 1))
