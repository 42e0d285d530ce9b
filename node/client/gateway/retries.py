"""Telling a retry from a twin: a retry re-uses its request id, so that an answer is never paid twice. In memory only.

What must survive a crash (ids, body hashes, outcomes) stands in the wallet; this keeps answers a few minutes, so that a
retry whose first answer was lost on the way to the caller gets the very same answer without asking anybody.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from node.client.books import Held
from node.client.wallet import PurchaseState
from node.core.errors import BadRequest
from node.core.types import Bytes32, Seconds

RETRY_SECONDS = Seconds(600)
"""A later request with the same body is a new request."""
MAX_KEPT_BYTES = 64 << 20
MAX_ANSWER_BYTES = 4 << 20
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was sent."""

    content_type: str
    body: bytes
    kept_at: float


@dataclass(slots=True)
class Answers:
    """The latest answers by request id, bounded in bytes and age."""

    _kept: OrderedDict[Bytes32, Kept] = field(default_factory=OrderedDict)
    _size: int = 0

    def keep(self, request_id: Bytes32, answer: Kept) -> None:
        """Remember an answer that was wholly received and paid."""
        if len(answer.body) > MAX_ANSWER_BYTES:
            return
        self._kept[request_id] = answer
        self._size += len(answer.body)
        while self._size > MAX_KEPT_BYTES:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old.body)

    def find(self, request_id: Bytes32, now: float) -> Kept | None:
        """The answer, unless it is too old."""
        kept = self._kept.get(request_id)
        return kept if kept is not None and now - kept.kept_at < RETRY_SECONDS else None


@dataclass(frozen=True, slots=True)
class RetryMark:
    """How a request says that it repeats an earlier one."""

    key: str
    is_retry: bool


def retry_mark(headers: Mapping[str, str]) -> RetryMark:
    """From Idempotency-Key and x-stainless-retry-count (which the official packages send). Raises BadRequest."""
    key = headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY or not key.isprintable():
        raise BadRequest(f"an Idempotency-Key has at most {MAX_KEY} printable characters", param="Idempotency-Key")
    count = headers.get("x-stainless-retry-count", "0")
    return RetryMark(key, bool(key) or (count.isascii() and count.isdigit() and int(count) >= 1))


def choose_earlier(found: Sequence[Held], live: Collection[Bytes32]) -> Held | None:
    """Which purchase a retry means: the newest that nobody waits for and whose end is unknown, else the newest.

    `found` is newest first. One that ended unserved never hides a newer one that was answered: that would buy it again
    (threat P16). Twins (the same body sent several times on purpose) stay apart while the other's caller waits.
    """
    idle = [held for held in found if held.purchase.request_id not in live]
    undecided = [held for held in idle if not _has_ended(held)]
    return next(iter(undecided or idle), None)


def _has_ended(held: Held) -> bool:
    return held.receipt is not None or held.purchase.state is PurchaseState.REFUSED
