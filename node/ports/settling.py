"""Claims on their way to the chain."""

from collections.abc import Sequence
from typing import Protocol

from node.core.merkle import Peaks
from node.core.messages import Receipt
from node.core.settlement import DueLane, SignedClaim
from node.core.transactions import Attempt, OutboxRow, TxReceipt, TxState, Wish
from node.core.types import Address, Bytes32, LaneKey, Micros


class SettlementBook(Protocol):
    """The payee's side of settling: what is unclaimed and which claims were signed."""

    async def load_due(self, payee: Address, limit: int) -> Sequence[DueLane]:
        """Lanes with `charged > claimed` (see DueLane), largest unclaimed first; frozen and old generations too."""

    async def load_last_claim(self, key: LaneKey) -> SignedClaim | None:
        """The newest claim signed for a lane and generation, whatever became of its transaction."""

    async def load_claim_of_root(self, root: Bytes32) -> SignedClaim | None:
        """The claim that committed to this receipts root, for `GET /v1/settlements/{root}`."""

    async def load_peaks(self, key: LaneKey, most: int) -> Peaks:
        """The tree of the longest claim over at most `most` receipts of a lane and generation; empty when none is."""

    async def load_receipts_after(self, key: LaneKey, seq: Micros, limit: int) -> Sequence[Receipt]:
        """Receipts with seq > `seq`, in order: the leaves to append to the last claim's peaks."""

    async def save_claims(self, claims: Sequence[SignedClaim], wish: Wish) -> int | None:
        """Keep the claims and want their transaction, in one commit; the outbox id.

        None, and nothing saved, when an open transaction already carries one of them (two settlers are harmless). A
        claim whose transaction failed may be saved again: it is one claim row with two outbox rows.
        """


class Outbox(Protocol):
    """Durable transactions. One sender owns the nonce; a second one loses the race for `version` and does nothing."""

    async def add(self, wish: Wish) -> int | None:
        """Want a transaction; None when an open row has the same key."""

    async def load_open(self, sender: Address) -> Sequence[OutboxRow]:
        """Open rows, oldest first."""

    async def load_row(self, row_id: int) -> OutboxRow | None:
        """One row."""

    async def has_events(self, row: OutboxRow) -> bool:
        """Whether an event of one of its attempts is in the chain's books: then it was mined, whoever hides it."""

    async def save_attempt(self, row: OutboxRow, attempt: Attempt) -> bool:
        """Durable before sending: state sent, version + 1.

        False, and nothing saved, when another sender was faster or the nonce belongs to another row of this sender.
        """

    async def save_state(
        self,
        row: OutboxRow,
        state: TxState,
        *,
        receipt: TxReceipt | None = None,
        reason: str = "",
    ) -> bool:
        """State with its receipt or reason, version + 1. False when another sender was faster."""
