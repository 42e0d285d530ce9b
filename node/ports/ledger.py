"""The payee's books as the paid path uses them, and as auditors read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.messages import Receipt, Voucher
from node.core.rows import RowCursor, RowFilters, RowKind, RowPage
from node.core.types import Address, Bytes32, LaneKey, Micros, Seconds, Signature


@dataclass(frozen=True, slots=True)
class Stored:
    """A request the ledger knows: open while `receipt` is None. `signature` may follow its receipt a little later."""

    admission: Admission
    receipt: Receipt | None = None
    signature: Signature | None = None


class Ledger(Protocol):
    """The payee's books. Every method that writes returns only after the write is durable.

    Raises LedgerUnavailable when no durable write is possible; then nothing was written, unless the reply to a COMMIT
    was lost for good: then an admission may be there, open, and `load_abandoned` names it to be closed at zero.
    """

    async def admit(self, admission: Admission) -> Stored | None:
        """Reserve under the row locks of lane and pair (core.account.admit); None when reserved now.

        A known (payer, lane, request id) reserves nothing and is returned as it stands. Raises the refusals of `admit`,
        WrongSignature for a signer that is unknown or thawing, CoverTooLow for an unknown pair.
        """

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        """Charge and release (core.account.close). Closing a closed request returns its receipt unchanged."""

    async def keep_signature(self, receipt: Receipt, signature: Signature) -> None:
        """Store an operator signature soon (not awaited: it can always be made again)."""

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        """One request by its id."""

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        """The lane's totals."""

    async def load_best_voucher(self, key: LaneKey) -> tuple[Voucher, Signature] | None:
        """The voucher with the highest ceiling of a lane and generation, as the payer signed it (rule 6)."""

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        """The pair's totals."""

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        """Receipts of a lane and generation with seq > `after`, in order."""

    async def load_receipts_from(self, key: LaneKey, index: int, limit: int) -> Sequence[Stored]:
        """Receipts of a lane and generation as leaves `index`, `index` + 1, ... of its receipts tree."""

    async def load_abandoned(self) -> Sequence[Admission]:
        """Open requests whose worker's lease has expired."""

    async def take_lease(self, seconds: Seconds) -> int:
        """A new lease epoch for this worker; admissions carry it."""

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        """False when the lease had expired: abort all streams and sign nothing more."""


class LedgerPages(Protocol):
    """The books for auditors: public columns (core.rows.COLUMNS), oldest first, pages by key."""

    async def load_page(self, kind: RowKind, filters: RowFilters, after: RowCursor, limit: int) -> RowPage:
        """Up to `limit` rows (at most LONGEST_PAGE) behind `after`. Raises LedgerUnavailable."""
