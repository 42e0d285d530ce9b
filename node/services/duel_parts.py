"""What the parts of duelling share: who we are in court, the books, and wishes for transactions, each paced."""

from dataclasses import dataclass, field

from node.core.duel_chain import Court
from node.core.facts import Cursor
from node.core.transactions import DUEL, Call, Wish
from node.core.types import Address, Bytes32, Seconds
from node.ports.basics import Clock
from node.ports.chain import ChainBook
from node.ports.duels import CourtRules, DuelBook, DuelChain, DuelStore
from node.ports.settling import Outbox

AGAIN_SECONDS = 20.0
"""A wish that came to nothing (its simulation reverted) is made again after so long."""
NO_DEADLINE = Seconds(0)


@dataclass(slots=True)
class DuelParts:
    """One node's place in one court. `sender` is the delegate that the provider enrolled."""

    me: Address
    court: Court
    book: DuelBook
    blocks: ChainBook
    store: DuelStore
    chain: DuelChain
    outbox: Outbox
    sender: Address
    clock: Clock
    _rules: CourtRules | None = None
    _wanted: dict[str, float] = field(default_factory=dict)

    async def rules(self) -> CourtRules:
        """Read once. Raises ChainUnavailable."""
        if self._rules is None:
            self._rules = await self.chain.read_rules()
        return self._rules

    async def head(self) -> Cursor | None:
        """How far the books have come: time and height are the chain's, never ours."""
        return await self.blocks.load_cursor()

    async def want(self, key: str, call: Call, deadline: Seconds = NO_DEADLINE) -> bool:
        """One transaction a key; whether it is wanted anew. What the chain shows as done, callers want no more."""
        now = self.clock.monotonic()
        if now < self._wanted.get(key, float("-inf")) + AGAIN_SECONDS:
            return False
        self._wanted[key] = now
        return await self.outbox.add(Wish(f"duel {key}", DUEL, self.sender, call, deadline)) is not None

    async def is_waiting_for(self, prefix: str) -> bool:
        """Whether a transaction with a key like that is under way."""
        rows = await self.outbox.load_open(self.sender)
        return any(row.wish.key.startswith(f"duel {prefix}") for row in rows)

    def forget(self, duel: Bytes32) -> None:
        """A duel is over: its keys are not needed any more."""
        for key in [one for one in self._wanted if duel.hex() in one]:
            del self._wanted[key]
