"""The payee's side of settling: implements `ports.SettlementBook`.

Which lanes are due is `core.settlement`'s decision.
"""

from collections.abc import Sequence

from node.adapters.ledger import claims, due
from node.adapters.ledger.reads import load_receipts
from node.adapters.ledger.store import Store
from node.core.merkle import Peaks
from node.core.messages import Receipt
from node.core.settlement import DueLane, SignedClaim
from node.core.transactions import Wish
from node.core.types import Address, Bytes32, LaneKey, Micros


class SqlSettlementBook:
    """See ports.SettlementBook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_due(self, payee: Address, limit: int) -> Sequence[DueLane]:
        """See ports.SettlementBook."""
        return await self._store.read_with(due.load_due, payee, limit)

    async def load_last_claim(self, key: LaneKey) -> SignedClaim | None:
        """See ports.SettlementBook."""
        return await self._store.read_with(claims.load_last_claim, key)

    async def load_claim_of_root(self, root: Bytes32) -> SignedClaim | None:
        """See ports.SettlementBook."""
        return await self._store.read_with(claims.load_claim_of_root, root)

    async def load_peaks(self, key: LaneKey, most: int) -> Peaks:
        """See ports.SettlementBook."""
        return await self._store.read_with(claims.load_peaks, key, most)

    async def load_receipts_after(self, key: LaneKey, seq: Micros, limit: int) -> Sequence[Receipt]:
        """See ports.SettlementBook."""
        page = await self._store.read_with(load_receipts, key, seq, limit)
        return [stored.receipt for stored in page if stored.receipt is not None]

    async def save_claims(self, claimed: Sequence[SignedClaim], wish: Wish) -> int | None:
        """See ports.SettlementBook."""
        return await self._store.write_with(claims.save_claims, claimed, wish)
