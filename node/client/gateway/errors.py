"""The gateway's errors as HTTP: one table, OpenAI's shape, and `x-should-retry`, which the official packages obey."""

import json
from collections.abc import Mapping
from typing import Any

from node.client import wallet
from node.client.delivery import AnswerCut, PayeeCheated
from node.client.exchange import AlreadyPaid, NodeRefused, OutcomeUnknown
from node.client.gateway.guard import ForeignCaller, WrongKey
from node.client.provider import UntrustedProvider
from node.core import errors as e

INVALID, PAYMENT, UNAVAILABLE, INTERNAL = (
    "invalid_request_error",
    "payment_error",
    "unavailable_error",
    "internal_error",
)
STATUS: dict[type[e.WwwserveError], tuple[int, str]] = {
    e.BadRequest: (400, INVALID),
    e.NotOffered: (400, INVALID),
    e.PromptTooLong: (400, INVALID),
    e.TooLarge: (413, INVALID),
    WrongKey: (401, INVALID),
    ForeignCaller: (403, INVALID),
    e.UnknownModel: (404, INVALID),
    e.NotFound: (404, INVALID),
    wallet.BudgetReached: (429, PAYMENT),  # as OpenAI answers when a quota is used up
    wallet.ExposureBusy: (429, PAYMENT),
    wallet.ExposureReached: (402, PAYMENT),
    wallet.PayeeStopped: (402, PAYMENT),
    AlreadyPaid: (409, PAYMENT),
    e.InProgress: (409, PAYMENT),
    UntrustedProvider: (502, UNAVAILABLE),
    PayeeCheated: (502, UNAVAILABLE),
    AnswerCut: (502, UNAVAILABLE),
    OutcomeUnknown: (502, UNAVAILABLE),
    e.PeerFailed: (502, UNAVAILABLE),
    e.ChainUnavailable: (503, UNAVAILABLE),
    e.LedgerUnavailable: (503, UNAVAILABLE),
    e.BadConfig: (500, INTERNAL),
}


def status_of(error: e.WwwserveError) -> int:
    """The HTTP status."""
    if isinstance(error, NodeRefused):
        return error.said.status
    return STATUS.get(type(error), (500, INTERNAL))[0]


def document_of(error: e.WwwserveError) -> dict[str, Any]:
    """The body. A node's own refusal is handed on; the owner of this gateway may read every other message, too."""
    if isinstance(error, NodeRefused):
        return dict(error.said.payload)
    kind = STATUS.get(type(error), (500, INTERNAL))[1]
    facts = dict(error.facts)
    param = facts.pop("param", None)
    said = {"message": error.message, "type": kind, "code": error.code(), "param": param}
    return {"error": said, "retryable": is_retryable(error), **{name: _fact(fact) for name, fact in facts.items()}}


def _fact(fact: e.Fact) -> object:
    """Amounts may exceed what JSON readers keep exactly, so every number goes out as text."""
    return str(fact) if isinstance(fact, int) and not isinstance(fact, bool) else fact


def is_retryable(error: e.WwwserveError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, NodeRefused):
        return bool(error.said.payload.get("retryable"))
    return error.retryable


def headers_of(error: e.WwwserveError) -> dict[str, str]:
    """What tells the official packages whether to try again."""
    if not is_retryable(error):
        return {"x-should-retry": "false"}
    return {"x-should-retry": "true", "retry-after": str(error.facts.get("retry_after", 1))}


def event_of(error: e.WwwserveError) -> bytes:
    """An error inside a stream that has begun: the official packages raise on it. No [DONE] follows."""
    document: Mapping[str, Any] = document_of(error)
    return b"data: " + json.dumps(document).encode() + b"\n\n"
