"""Canaries: duels whose right verdict the dispatcher knows, and what each judge's votes on them say of its care. Pure.

Both answers are signed by executors, so nobody can make a canary at will: a duel becomes one when its question is one
whose answer the dispatcher knows, and exactly one of the two answers states it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from node.core.duel_facts import DuelFacts, MemberFacts
from node.core.duels import Vote
from node.core.judging.case import Case
from node.core.judging.exact import Known, known_judgement
from node.core.ratings import Finding, Sprt, SprtRule, next_sprt
from node.core.types import Address

RULE = SprtRule(fair=0.8, poor=0.5)
"""Of judges right on 80 % of canaries 1 % are ever found lazy by one test, of coin-flippers 5 % are cleared by it. A
coin-flipper is found after 21 canaries in the mean, 79 % of them within 30, 98 % within 60."""


class Care(StrEnum):
    """What the test says of a judge."""

    OPEN = "open"
    HONEST = "honest"
    LAZY = "lazy"


_CARE = {Finding.OPEN: Care.OPEN, Finding.HONEST: Care.HONEST, Finding.CONVICTED: Care.LAZY}


@dataclass(frozen=True, slots=True)
class Tally:
    """One judge's votes on canaries."""

    right: int = 0
    wrong: int = 0
    test: Sprt = Sprt()

    @property
    def care(self) -> Care:
        """Where its test stands; lazy is final."""
        return _CARE[self.test.finding]


def canary_verdict(known: Known, case: Case) -> Vote | None:
    """The right vote, if this duel is a canary."""
    judgement = known_judgement(known, case)
    return None if judgement is None or judgement.vote is Vote.TIE else judgement.vote


def ballots(duel: DuelFacts, members: Mapping[int, MemberFacts]) -> Mapping[Address, Vote]:
    """Each judge's vote, once however many seats it had. "No evidence" is no opinion, and perhaps not its fault."""
    votes: dict[Address, Vote] = {}
    for seat, vote in sorted(duel.votes.items()):
        if vote is not Vote.NO_EVIDENCE:
            votes.setdefault(members[duel.places[seat]].provider, vote)
    return votes


def next_tally(tally: Tally, *, is_right: bool) -> Tally:
    """After one more canary. A tie is wrong: one of the answers was."""
    test = next_sprt(tally.test, RULE, won=is_right)
    return Tally(tally.right + is_right, tally.wrong + (not is_right), test)
