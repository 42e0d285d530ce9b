"""`make duel-faults`: every actor of a duel vanishes in every phase; a stranger's call ends it, bonds as specified.

The real bytecode in process, with the reference model beside it: after each case every balance, stake and burn must be
the model's, the end the one that the rules say, and no bond left open. Last line: `duel-faults: cases C, violations V`.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

from node.core.duel_chain import Ballot, duel_id, seed_commitment, vote_commitment
from node.core.duels import Vote
from node.core.hashing import keccak, word
from tests.differential import duels_model as rules
from tests.differential.duels_model import Duel, State, Trial
from tests.differential.duels_world import DuelsWorld

WHY = b"\x05" * 32
REQUEST = word(7)
FEE = 40
RATE = 1000
PAST_HASHES = 300


class Phase(IntEnum):
    """The last thing that happens before everybody is gone."""

    OPENED = 0
    DRAWN = 1
    HALF_COMMITTED = 2
    COMMITTED = 3
    HALF_REVEALED = 4
    REVEALED = 5
    APPEALED = 6
    JURY_DRAWN = 7
    JURY_COMMITTED = 8
    JURY_HALF_REVEALED = 9
    JURY_REVEALED = 10


ACTORS = ("nobody", "dispatcher", "first", "second", "judge", "judges", "appellant", "jury")
BALLOTS = {
    "first": (Vote.FIRST,) * 5,
    "second but one": (Vote.SECOND,) * 4 + (Vote.FIRST,),
    "split": (Vote.FIRST, Vote.SECOND, Vote.TIE, Vote.FIRST, Vote.SECOND),
    "no evidence": (Vote.NO_EVIDENCE,) * 3 + (Vote.FIRST,) * 2,
}


@dataclass(frozen=True, slots=True)
class Case:
    """Everything stops after `phase`; `leaver` takes its stake and balance along."""

    phase: Phase
    leaver: str
    ballot: str


class Trialist:
    """Plays one case on a world and says what was wrong."""

    def __init__(self, world: DuelsWorld, case: Case) -> None:
        self.world, self.model, self.case = world, world.model, case
        self.dispatcher, self.first, self.second, self.appellant = world.members[:4]
        self.key = duel_id(bytes.fromhex(self.dispatcher[2:]), REQUEST)
        self.wrong: list[str] = []

    @property
    def duel(self) -> Duel:
        """The duel, as the model has it."""
        return self.model.duels[self.key]

    def play(self) -> list[str]:
        """Up to the phase, then silence, then a stranger."""
        for phase, step in enumerate(self._steps()):
            step()
            if phase == self.case.phase:
                break
        self._leave()
        self._expect("finalize", is_refused=True)
        self.world.move(PAST_HASHES, rules.COMMIT + rules.REVEAL + rules.APPEAL)
        self._expect("finalize", is_refused=False)
        self.world.compare()
        self._check_end()
        self._expect("finalize", is_refused=True)
        return self.wrong

    def _steps(self) -> list:
        return [
            self._open,
            self._draw,
            lambda: self._commit(range(3)),
            lambda: self._commit(range(3, 5)),
            lambda: self._reveal(range(2), waits=rules.COMMIT),
            lambda: self._reveal(range(2, 5), waits=0),
            self._appeal,
            self._draw,
            lambda: self._commit(range(5, 20)),
            lambda: self._reveal(range(5, 12), waits=rules.COMMIT),
            lambda: self._reveal(range(12, 20), waits=0),
        ]

    # --------------------------------------------------------------------------------------------------------- steps
    def _open(self) -> None:
        nonce = keccak(REQUEST + bytes.fromhex(self.first[2:]))
        duel = Duel(self.dispatcher, self.first, self.second, REQUEST, nonce, 0, 0, Trial(0, 0))
        self._must(self.world.open(self.dispatcher, duel, FEE, (self.first, self.second)))

    def _draw(self) -> None:
        self.world.move(rules.DELAY + 1, 12)
        self._expect("draw", is_refused=False)

    def _commit(self, seats: range) -> None:
        for seat in seats:
            judge = self._judges()[seat]
            commitment = vote_commitment(self.model.court, self.key, self._ballot(seat))
            self._must(self.world.duels(judge, "commit", "commit", self.key, seat, commitment))

    def _reveal(self, seats: range, *, waits: int) -> None:
        self.world.move(1, waits)
        for seat in seats:
            ballot = self._ballot(seat)
            arguments = (self.key, seat, ballot.vote, ballot.salt, WHY)
            self._must(self.world.duels(self.world.stranger, "reveal", "reveal", *arguments))

    def _appeal(self) -> None:
        self.world.move(1, rules.REVEAL)
        self._must(self.world.duels(self.appellant, "appeal", "appeal", self.key, self.appellant))

    def _judges(self) -> list[str]:
        retrial = self.duel.retrial
        return [*self.duel.trial.judges, *(retrial.judges if retrial is not None else ())]

    def _ballot(self, seat: int) -> Ballot:
        """The jury votes as the judges did, so that an appeal may confirm as well as overturn a broken trial."""
        votes = BALLOTS[self.case.ballot]
        return Ballot(bytes.fromhex(self._judges()[seat][2:]), votes[seat % 5], word(seat), WHY)

    def _leave(self) -> None:
        """Out of the market at once: membership, listing, balance."""
        retrial = self.duel.retrial
        leavers = {
            "nobody": [], "dispatcher": [self.dispatcher], "first": [self.first], "second": [self.second],
            "judge": self.duel.trial.judges[:1], "judges": self.duel.trial.judges, "appellant": [self.appellant],
            "jury": retrial.judges if retrial is not None else [],
        }[self.case.leaver]  # fmt: skip
        for who in dict.fromkeys(leavers):
            self._must(self.world.duels(who, "resign", "resign"))
            self.world.deregister(who)
            if self.model.balances[who]:
                self._must(self.world.duels(who, "collect", "collect", who))

    # -------------------------------------------------------------------------------------------------------- verdicts
    def _must(self, error: str) -> None:
        if error:
            self.wrong.append(f"refused: {error}")

    def _expect(self, name: str, *, is_refused: bool) -> None:
        error = self.world.duels(self.world.stranger, name, name, self.key)
        if bool(error) is not is_refused:
            self.wrong.append(f"{name}: {error or 'not refused'}")

    def _check_end(self) -> None:
        """The end by the rules alone, and what the bonds came to."""
        expected = self._expected()
        if self.duel.state is not expected:
            self.wrong.append(f"ended {self.duel.state.name}, should {expected.name}")
        revealed = len(self.duel.trial.votes)
        burnt = rules.BOND - rules.FEE * revealed if expected is State.VOIDED else 0
        retrial = self.duel.retrial
        if retrial is not None:
            is_same = expected is rules.verdict(self.duel.trial, 4, 3)
            burnt += rules.APPEAL_BOND - rules.FEE * len(retrial.votes) if is_same else 0
        if self.model.burnt != burnt:
            self.wrong.append(f"burnt {self.model.burnt}, should {burnt}")

    def _expected(self) -> State:
        case = self.case
        if case.phase is Phase.OPENED:
            return State.VOIDED
        if case.phase in (Phase.DRAWN, Phase.HALF_COMMITTED, Phase.COMMITTED, Phase.HALF_REVEALED):
            return State.TIED
        if case.phase in (Phase.JURY_DRAWN, Phase.JURY_COMMITTED, Phase.JURY_HALF_REVEALED):
            return State.TIED
        return {"first": State.FIRST_WON, "second but one": State.SECOND_WON, "split": State.TIED}.get(
            case.ballot, State.VOIDED
        )


def cases() -> Iterator[Case]:
    """Every actor in every phase it plays in, with every kind of vote."""
    for phase, leaver, ballot in product(Phase, ACTORS, BALLOTS):
        plays = {"judge": Phase.DRAWN, "judges": Phase.DRAWN, "appellant": Phase.APPEALED, "jury": Phase.JURY_DRAWN}
        if phase >= plays.get(leaver, Phase.OPENED):
            yield Case(phase, leaver, ballot)


def prepared() -> DuelsWorld:
    """A market one epoch old, with the dispatcher's seed committed."""
    world = DuelsWorld()
    who = world.members[0]
    epoch = world.model.epoch + 1
    commitment = seed_commitment(world.model.court, bytes.fromhex(who[2:]), epoch, keccak(b"seed"))
    assert not world.duels(who, "commit_seed", "commitSeed", who, commitment, RATE)
    world.move(7, rules.EPOCH)
    return world


def run(every: int) -> tuple[int, int]:
    """(cases, violations); `every` n-th case only."""
    world, count, violations = prepared(), 0, 0
    for case in list(cases())[::every]:
        restore = world.remember()
        wrong = Trialist(world, case).play()
        restore()
        count += 1
        violations += bool(wrong)
        for text in wrong:
            sys.stdout.write(f"{case.phase.name}, {case.leaver} leaves, {case.ballot}: {text}\n")
    return count, violations


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m tests.faults.duel_faults")
    parser.add_argument("--every", type=int, default=1, help="play every n-th case only")
    count, violations = run(parser.parse_args().every)
    sys.stdout.write(f"duel-faults: cases {count}, violations {violations}\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
