"""This node's sampling seeds: made, kept, committed to an epoch ahead, revealed after it (threat D6).

A seed follows from the operator key, so that a lost database costs no slash; it is kept all the same, for the day the
key is another one.
"""

from dataclasses import dataclass, field

from node.core.duel_chain import seed_commitment
from node.core.hashing import Domain, keccak, word
from node.core.types import Bytes32, Seconds
from node.ports.basics import Signer
from node.services.duel_parts import DuelParts

SEED_TYPE_HASH = keccak(b"SamplingSeed(address court,uint256 epoch)")


@dataclass(slots=True)
class Seeds:
    """See module. `rate` is per mille of this node's offloads; with 0 it commits to nothing more, and still reveals."""

    parts: DuelParts
    signer: Signer
    domain: Domain
    rate: int
    _current: dict[int, tuple[Bytes32, int]] = field(default_factory=dict)
    """Of the epoch asked for last: what was committed to it cannot change any more, and each offload asks."""

    async def attend(self) -> None:
        """`run` by the books' clock, for a node that dispatches nothing. Raises as `run` does."""
        cursor = await self.parts.head()
        if cursor is not None:
            await self.run(cursor.head.timestamp)

    async def run(self, now: Seconds) -> None:
        """Commit to the next epoch's seed, reveal the last one's. Raises ChainUnavailable, LedgerUnavailable."""
        rules = await self.parts.rules()
        epoch, passed = divmod(now, rules.epoch)
        # The contract takes a commitment for the epoch after the block it lands in: late in an epoch it could land in
        # the next one, for a seed that cannot be revealed.
        if passed < rules.epoch // 2:
            if self.rate:
                await self._commit(epoch + 1, Seconds(now - passed + rules.epoch * 3 // 4))
            await self._reveal(epoch - 1, Seconds(now - passed + rules.epoch // 2))

    async def of_epoch(self, epoch: int) -> tuple[Bytes32, int] | None:
        """(seed, rate) of an epoch that has begun and that this node committed to."""
        if epoch not in self._current:
            rate = (await self.parts.chain.read_seed(self.parts.me, epoch)).rate_per_mille
            seed = await self.parts.store.load_seed(epoch) if rate else None
            self._current = {} if seed is None else {epoch: (seed, rate)}
        return self._current.get(epoch)

    async def _commit(self, epoch: int, until: Seconds) -> None:
        if (await self.parts.chain.read_seed(self.parts.me, epoch)).rate_per_mille:
            return
        seed = await self.parts.store.keep_seed(epoch, self._made(epoch))
        commitment = seed_commitment(self.parts.court, self.parts.me, epoch, seed)
        call = self.parts.chain.commit_seed(self.parts.me, commitment, self.rate)
        await self.parts.want(f"seed {epoch}", call, until)

    async def _reveal(self, epoch: int, until: Seconds) -> None:
        known = await self.parts.chain.read_seed(self.parts.me, epoch)  # each time: one lie must not end it
        if not known.rate_per_mille or known.is_revealed:
            return
        seed = await self.parts.store.load_seed(epoch) or self._made(epoch)
        await self.parts.want(f"unseal {epoch}", self.parts.chain.reveal_seed(self.parts.me, epoch, seed), until)

    def _made(self, epoch: int) -> Bytes32:
        about = keccak(SEED_TYPE_HASH + self.parts.court.words + word(epoch))
        return keccak(self.signer.sign(self.domain.digest(about)))
