"""The books' side of recovery: implements `ports.RecoveryBook`. Decides nothing: services/recovery and resync do."""

from collections.abc import Sequence

from node.adapters.ledger import claims, restoring, resync
from node.adapters.ledger.store import Store
from node.core.account import LaneState
from node.core.recovery import LaneGap, Mark, SettledClaim
from node.core.settlement import SignedClaim
from node.core.types import Address, Amount, LaneKey, Micros, Seconds
from node.ports.ledger import Stored


class SqlRecoveryBook:
    """See ports.RecoveryBook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_mark(self, generation: int) -> Mark:
        """See ports.RecoveryBook."""
        return await self._store.read_with(restoring.load_mark, generation)

    async def load_claimed_ahead(self, payee: Address, generation: int) -> Sequence[LaneGap]:
        """See ports.RecoveryBook."""
        return await self._store.read_with(restoring.load_claimed_ahead, payee, generation)

    async def load_generations(self, key: LaneKey) -> dict[int, tuple[Micros, int]]:
        """See ports.RecoveryBook."""
        return await self._store.read_with(restoring.generations_of, key)

    async def load_waiting(self, payee: Address, generation: int) -> Sequence[tuple[LaneKey, bool]]:
        """See ports.RecoveryBook."""
        return await self._store.read_with(restoring.load_waiting, payee, generation)

    async def load_settled(self, key: LaneKey) -> Sequence[SettledClaim]:
        """See ports.RecoveryBook."""
        return await self._store.read_with(restoring.load_settled, key)

    async def freeze_lanes(self, payee: Address) -> int:
        """See ports.RecoveryBook."""
        return await self._store.write_with(resync.freeze_lanes, payee)

    async def void_reservations(self, payee: Address) -> int:
        """See ports.RecoveryBook."""
        return await self._store.write_with(restoring.void_reservations, payee)

    async def restore_receipts(self, key: LaneKey, found: Sequence[Stored], now: Seconds) -> int:
        """See ports.RecoveryBook."""
        return await self._store.write_with(restoring.restore_receipts, key, found, int(now))

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        """See ports.RecoveryBook."""
        return await self._store.write_with(resync.reopen_lane, key, base)

    async def keep_claim(self, signed: SignedClaim) -> None:
        """See ports.RecoveryBook."""
        await self._store.write_with(claims.keep_claim, signed)
