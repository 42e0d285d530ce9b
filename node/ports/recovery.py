"""Books that came back from a backup."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from node.core.account import LaneState
from node.core.recovery import LaneGap, Mark, SettledClaim
from node.core.settlement import SignedClaim
from node.core.types import Address, Amount, LaneKey, Micros, Seconds
from node.ports.ledger import Stored


class HighWaterMark(Protocol):
    """How far receipts had come, remembered outside the database (threat P8)."""

    @property
    def seen(self) -> Mark | None:
        """The newest mark; None before the first."""

    @property
    def is_behind(self) -> bool:
        """Whether a database that came back turned out to be an older one."""

    def accept(self, mark: Mark) -> None:
        """The books as they are now are the truth."""


class RecoveryBook(Protocol):
    """What finding out about, and healing, restored books asks of the ledger (protocol rule 6)."""

    async def load_mark(self, generation: int) -> Mark:
        """How far the books' receipts have come."""

    async def load_claimed_ahead(self, payee: Address, generation: int) -> Sequence[LaneGap]:
        """Lanes of which the escrow has paid more in this generation than the books have charged."""

    async def load_generations(self, key: LaneKey) -> Mapping[int, tuple[Micros, int]]:
        """(last seq, count) of every generation in which the books know this lane."""

    async def load_waiting(self, payee: Address, generation: int) -> Sequence[tuple[LaneKey, bool]]:
        """Every lane of a payee, and whether it is open in this generation."""

    async def load_settled(self, key: LaneKey) -> Sequence[SettledClaim]:
        """Every mined claim of a lane, in whatever generation."""

    async def freeze_lanes(self, payee: Address) -> int:
        """Admit nothing more in any present account; how many were frozen."""

    async def void_reservations(self, payee: Address) -> int:
        """Drop what frozen accounts still held open, without receipts; how many."""

    async def restore_receipts(self, key: LaneKey, found: Sequence[Stored], now: Seconds) -> int:
        """Put back checked receipts of a closed generation while they continue its account; how many."""

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        """Start a generation's account at max(base, escrow's claimed, what the books charged); an open one stays.

        Raises NotFound without a pair, LaneFrozen while an earlier generation has requests in flight.
        """

    async def keep_claim(self, signed: SignedClaim) -> None:
        """A mined claim, made again from its receipts."""
