"""The chain's side of the books: implements `ports.ChainBook`.

Events, what follows from them and the cursor move together. What follows is `core.folds`' business, replayed from the
stored events in `derived`; nothing here decides.
"""

from collections.abc import Mapping, Sequence

from node.adapters.ledger import booking, chain_reads
from node.adapters.ledger.store import Store
from node.core.duel_facts import CourtFacts, DuelFacts
from node.core.facts import Block, ChainBatch, Cursor
from node.core.folds import PayeeView, ProviderView
from node.core.membership.members import Registered
from node.core.types import Address, Bytes32
from node.core.voucher import Standing


class SqlChainBook:
    """See ports.ChainBook."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load_cursor(self) -> Cursor | None:
        """See ports.ChainBook."""
        return await self._store.read_with(chain_reads.load_cursor)

    async def load_block(self, number: int) -> Block | None:
        """See ports.ChainBook."""
        return await self._store.read_with(chain_reads.load_block, number)

    async def book(self, batch: ChainBatch) -> None:
        """See ports.ChainBook. Missing blocks are accepted at or below the batch's `finalised` only."""
        await self._store.write_with(booking.book, batch)

    async def roll_back(self, number: int) -> None:
        """See ports.ChainBook. The new head is the highest block kept at or below `number`."""
        await self._store.write_with(booking.roll_back, number)

    async def load_standing(self, payee: Address, payer: Address, signer: Address) -> Standing:
        """See ports.ChainBook."""
        return await self._store.read_with(chain_reads.load_standing, payee, payer, signer)

    async def load_payee(self, payee: Address) -> PayeeView:
        """See ports.ChainBook."""
        return await self._store.read_with(chain_reads.load_payee, payee)

    async def load_providers(self) -> Sequence[ProviderView]:
        """See ports.ChainBook."""
        return await self._store.read_with(chain_reads.load_providers)

    async def load_duel(self, duel: Bytes32) -> DuelFacts:
        """See ports.duels.DuelBook."""
        return await self._store.read_with(chain_reads.load_duel, duel)

    async def load_court(self) -> CourtFacts:
        """See ports.duels.DuelBook."""
        return await self._store.read_with(chain_reads.load_court)

    async def load_running(self) -> Mapping[Bytes32, DuelFacts]:
        """See ports.duels.DuelBook."""
        return await self._store.read_with(chain_reads.load_running)

    async def load_ended(self, after: tuple[int, int]) -> Sequence[tuple[tuple[int, int], DuelFacts]]:
        """See ports.duels.DuelBook."""
        return await self._store.read_with(chain_reads.load_ended, after)

    async def load_registered(self) -> Sequence[Registered]:
        """See ports.network.ProviderBook."""
        return await self._store.read_with(chain_reads.load_registered)
