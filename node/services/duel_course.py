"""Steps of a duel that anybody may take: the draw of its judges, and its end. Who vanishes holds nobody's money."""

from dataclasses import dataclass, field

from node.core.duel_facts import DuelFacts, DuelState
from node.core.facts import Block
from node.core.hashing import keccak
from node.core.types import Bytes32
from node.services.duel_parts import DuelParts

HASH_BLOCKS = 256
"""A draw block's hash is known to the chain for so long; after it the duel is void."""
GRACE_SECONDS = 30.0
"""How long others let the dispatcher go first: two transactions for one step are a waste of gas."""


@dataclass(slots=True)
class Course:
    """Looks at one duel at a time."""

    parts: DuelParts
    _due: dict[tuple[Bytes32, str], float] = field(default_factory=dict)

    async def push(self, duel: Bytes32, facts: DuelFacts, head: Block) -> None:
        """Want the step that is due, if it is our turn."""
        step = await self._step(facts, head)
        if step is None:
            return
        now = self.parts.clock.monotonic()
        since = self._due.setdefault((duel, f"{step} {facts.state.name}"), now)
        if facts.dispatcher != self.parts.me and now < since + self._grace(duel):
            return
        call = self.parts.chain.draw(duel) if step == "draw" else self.parts.chain.finalize(duel)
        await self.parts.want(f"{step} {facts.state.name} {duel.hex()}", call)

    def _grace(self, duel: Bytes32) -> float:
        """Different for each node and duel, so that not all of them send at once."""
        return GRACE_SECONDS * (1 + keccak(duel + self.parts.me)[0] % 8)

    async def _step(self, facts: DuelFacts, head: Block) -> str | None:
        rules = await self.parts.rules()
        if facts.state in (DuelState.OPENED, DuelState.APPEALED):
            if head.number >= facts.draw_block + HASH_BLOCKS:
                return "finalize"
            return "draw" if head.number >= facts.draw_block else None
        end = facts.commit_end + rules.reveal
        if facts.state is DuelState.JUDGING:
            end += rules.appeal
        return "finalize" if head.timestamp >= end else None

    def forget(self, running: set[Bytes32]) -> None:
        """Duels that are over need no clock."""
        for key in [one for one in self._due if one[0] not in running]:
            del self._due[key]
