"""A judge's work: for each of its seats a vote, kept with its salt, committed, revealed; the end, if nobody ends it.

It votes "no evidence" only when the time to commit runs out and neither the dispatcher nor another judge has shown any
that proves itself.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.core.duel_chain import Ballot, vote_commitment
from node.core.duel_facts import JUDGES, JURY, DuelFacts, DuelState
from node.core.duels import Vote
from node.core.errors import ChainUnavailable, EngineFailed, LedgerUnavailable
from node.core.facts import Block
from node.core.hashing import keccak
from node.core.judging.case import Judgement
from node.core.types import Bytes32, Seconds
from node.ports.duels import KeptVote
from node.ports.judging import Judge
from node.services.duel_course import Course
from node.services.duel_evidence import EvidenceReader
from node.services.duel_parts import DuelParts

log = logging.getLogger(__name__)
AT_ONCE = 2
"""Duels judged at a time: judging must not crowd out paying requests."""
LAST_CALL = 4
"""In the last part of the commit window (a quarter) a vote is cast with what is known."""
Dice = Callable[[int], bytes]


@dataclass(slots=True)
class Judging:
    """See module."""

    parts: DuelParts
    judge: Judge
    evidence: EvidenceReader
    course: Course
    dice: Dice
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def run(self) -> None:
        """Do what is due in every running duel. Raises ChainUnavailable or LedgerUnavailable: the next run goes on."""
        cursor = await self.parts.head()
        if cursor is None:
            return
        running = await self.parts.book.load_running()
        self.course.forget(set(running))
        self.evidence.forget(running)
        place = (await self.parts.book.load_court()).place_of(self.parts.me)
        others = [one for one in running.items() if one[1].dispatcher != self.parts.me]
        ends = await asyncio.gather(
            *(self._attend(duel, facts, cursor.head, place) for duel, facts in others), return_exceptions=True
        )
        for end in ends:  # all have ended: none runs on unowned, and no duel's trouble is another's
            if isinstance(end, BaseException):
                raise end

    async def _attend(self, duel: Bytes32, facts: DuelFacts, head: Block, place: int) -> None:
        rules = await self.parts.rules()
        reveal_end = Seconds(facts.commit_end + rules.reveal)
        seats = [seat for seat in _bench(facts) if facts.places.get(seat) == place]
        if head.timestamp < facts.commit_end:
            await self._commit(duel, facts, seats, head)
        elif head.timestamp < reveal_end:
            await self._reveal(duel, facts, seats, reveal_end)
        await self.course.push(duel, facts, head)

    async def _commit(self, duel: Bytes32, facts: DuelFacts, seats: list[int], head: Block) -> None:
        waiting = [seat for seat in seats if seat not in facts.commitments]
        if not waiting:
            return
        kept = await self.parts.store.load_votes(duel)
        if any(seat not in kept for seat in waiting):
            kept = await self._voted(duel, facts, waiting, head)
        for seat in waiting:
            if (vote := kept.get(seat)) is not None:
                call = self.parts.chain.commit(duel, seat, self._commitment(duel, vote))
                await self.parts.want(f"commit {seat} {duel.hex()}", call, facts.commit_end)

    async def _voted(self, duel: Bytes32, facts: DuelFacts, seats: list[int], head: Block) -> Mapping[int, KeptVote]:
        """One opinion for all our seats, each with a salt of its own; durable before anything is sent."""
        commit = (await self.parts.rules()).commit
        judgement, is_final = await self._judged(duel, facts, head)
        if not is_final and head.timestamp < facts.commit_end - commit // LAST_CALL:
            return {}
        votes = [KeptVote(seat, judgement.vote, Bytes32(self.dice(32)), judgement.rationale) for seat in seats]
        await self.parts.store.keep_votes(duel, votes)
        return await self.parts.store.load_votes(duel)

    async def _judged(self, duel: Bytes32, facts: DuelFacts, head: Block) -> tuple[Judgement, bool]:
        """What is known now, and whether a later look could not tell more."""
        try:
            case = await self.evidence.find(duel, facts, head.timestamp)
            if case is None:
                return Judgement(Vote.NO_EVIDENCE, "nobody showed evidence that proves itself"), False
            async with self._room:
                return await self.judge.judge(case), True
        except (ChainUnavailable, LedgerUnavailable):
            raise
        except EngineFailed as exc:
            log.warning("duel %s cannot be judged now: %s", duel.hex(), exc.message)
            return Judgement(Vote.TIE, "the judging engine did not answer"), False
        except Exception:  # outermost: what no judge can read would silence every one of them, and silence is slashed
            log.exception("duel %s cannot be judged", duel.hex())
            return Judgement(Vote.TIE, "cannot be judged"), False

    async def _reveal(self, duel: Bytes32, facts: DuelFacts, seats: list[int], end: Seconds) -> None:
        waiting = [seat for seat in seats if seat in facts.commitments and seat not in facts.votes]
        kept = await self.parts.store.load_votes(duel) if waiting else {}
        for seat in waiting:
            vote = kept.get(seat)
            if vote is None:
                log.error("the vote of seat %d in duel %s is not in these books", seat, duel.hex())
                continue
            await self.parts.want(f"reveal {seat} {duel.hex()}", self.parts.chain.reveal(duel, vote), end)

    def _commitment(self, duel: Bytes32, kept: KeptVote) -> Bytes32:
        ballot = Ballot(self.parts.me, kept.vote, kept.salt, keccak(kept.rationale.encode()))
        return vote_commitment(self.parts.court, duel, ballot)


def _bench(facts: DuelFacts) -> range:
    """The seats of the trial that runs."""
    if facts.state is DuelState.JUDGING:
        return range(JUDGES)
    return range(JUDGES, JUDGES + JURY) if facts.state is DuelState.RETRIAL else range(0)
