"""What `Duels` should do, written from the protocol text and not from the Solidity; draws by the node's own pure code.

A call either raises `Reverted(error, arguments)` or returns, leaving its events in `events`. Signatures are who signed.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import IntEnum

from node.core.duel_chain import (
    Ballot,
    Court,
    Weighed,
    draw_opponent,
    draw_seats,
    seat_seed,
    seed_commitment,
    vote_commitment,
)
from node.core.duels import Vote
from node.core.hashing import keccak
from tests.differential.model import check

EPOCH, COMMIT, REVEAL, APPEAL, DELAY = 2000, 300, 300, 500, 2
BOND, APPEAL_BOND, FEE, LOSER, MINORITY, SILENT, FAULT = 17, 50, 3, 47, 23, 31, 101
MIN_STAKE = 1000
JUDGES, JURY = 5, 15
MOST_ATTEMPTS = 8


class State(IntEnum):
    """Where a duel stands; the last four are final."""

    NONE = 0
    OPENED = 1
    JUDGING = 2
    APPEALED = 3
    RETRIAL = 4
    FIRST_WON = 5
    SECOND_WON = 6
    TIED = 7
    VOIDED = 8


@dataclass(slots=True)
class Member:
    """A member; places are given in the order of the first enrolment."""

    place: int
    controller: str
    active: bool = False
    delegate: str = "0x" + "00" * 20


@dataclass(slots=True)
class Trial:
    """One bench: drawn at a time, voting on seats."""

    draw_block: int
    epoch: int
    drawn_at: int = 0
    judges: list[str] = field(default_factory=list)
    votes: dict[int, Vote] = field(default_factory=dict)
    commitments: dict[int, bytes] = field(default_factory=dict)

    @property
    def commit_end(self) -> int:
        """Until here judges commit, from here on they reveal."""
        return self.drawn_at + COMMIT

    @property
    def reveal_end(self) -> int:
        """The end of the trial."""
        return self.drawn_at + COMMIT + REVEAL


@dataclass(slots=True)
class Duel:
    """One duel with its first trial and, after an appeal, its second."""

    dispatcher: str
    first: str
    second: str
    request_id: bytes
    nonce: bytes
    attempt: int
    prize: int
    trial: Trial
    state: State = State.OPENED
    appellant: str = ""
    retrial: Trial | None = None


def verdict(trial: Trial, agreement: int, voiding: int) -> State:
    """Enough equal votes decide."""
    tally = Counter(trial.votes.values())
    if tally[Vote.NO_EVIDENCE] >= voiding:
        return State.VOIDED
    if tally[Vote.FIRST] >= agreement:
        return State.FIRST_WON
    return State.SECOND_WON if tally[Vote.SECOND] >= agreement else State.TIED


class DuelsModel:
    """The court, and as much of the registry as it needs."""

    def __init__(self, court: Court, now: int) -> None:
        self.court, self.now, self.block = court, now, 1000
        self.balances: Counter[str] = Counter()
        self.stakes: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.listed: set[str] = set()
        self.members: dict[str, Member] = {}
        self.history: list[tuple[int, str, int]] = []
        self.adopted: set[tuple[str, str]] = set()
        self.seeds: dict[tuple[str, int], tuple[bytes, int]] = {}
        self.revealed: set[tuple[str, int]] = set()
        self.duels: dict[bytes, Duel] = {}
        self.proven: set[tuple[int, object]] = set()
        self.burnt = self.registry_burnt = self.held = 0
        self.events: list[tuple] = []

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self.now // EPOCH

    # ----------------------------------------------------------------------------------------------------- the registry
    def slash(self, who: str, amount: int) -> int:
        """Takes stake first, then what is unbonding; returns what there was."""
        taken = 0
        for part in (0, 1):
            piece = min(amount - taken, self.stakes[who][part])
            self.stakes[who][part] -= piece
            taken += piece
        return taken

    def slashable(self, who: str) -> int:
        """All that can be taken."""
        return sum(self.stakes[who])

    # --------------------------------------------------------------------------------------------------- money, members
    def fund(self, _caller: str, account: str, amount: int) -> None:
        check(amount != 0, "Duels_ZeroAmount")
        self.balances[account] += amount
        self.held += amount

    def collect(self, caller: str, _to: str) -> None:
        check(self.balances[caller] != 0, "Duels_ZeroAmount")
        self.held -= self.balances[caller]
        self.balances[caller] = 0

    def lock(self, account: str, amount: int) -> None:
        check(amount <= self.balances[account], "Duels_Overdraw", amount, self.balances[account])
        self.balances[account] -= amount

    def weight(self, who: str) -> int:
        """As of the last time it was brought up to date."""
        return next((weight for _, name, weight in reversed(self.history) if name == who), 0)

    def weigh(self, who: str) -> int:
        stake = self.stakes[who][0]
        counts = self.members[who].active and who in self.listed and stake >= MIN_STAKE // 2
        weight = stake if counts else 0
        if weight != self.weight(who):
            self.history.append((self.epoch, who, weight))
        return weight

    def snapshot(self, epoch: int) -> list[Weighed]:
        """Everybody's weight at the end of an epoch."""
        weights = {name: weight for at, name, weight in self.history if at <= epoch}
        return [
            Weighed(_raw(name), _raw(member.controller), weights.get(name, 0)) for name, member in self.members.items()
        ]

    def enroll(self, caller: str, delegate: str) -> None:
        known = self.members.get(caller)
        check(known is None or not known.active, "Duels_AlreadyEnrolled", caller)
        stake = self.stakes[caller][0]
        check(caller in self.listed and stake >= MIN_STAKE // 2, "Duels_StakeTooLow", caller)
        member = self.members.setdefault(caller, Member(len(self.members) + 1, caller))
        member.active, member.delegate = True, delegate
        self.weigh(caller)

    def active(self, who: str) -> Member:
        check(who in self.members and self.members[who].active, "Duels_NotEnrolled", who)
        return self.members[who]

    def known(self, who: str) -> Member:
        check(who in self.members, "Duels_NotEnrolled", who)
        return self.members[who]

    def check_actor(self, who: str, caller: str) -> None:
        check(caller in (who, self.members[who].delegate), "Duels_NotActor", who, caller)

    def resign(self, caller: str) -> None:
        self.active(caller).active = False
        self.weigh(caller)

    def sync(self, _caller: str, who: str) -> None:
        self.known(who)
        self.weigh(who)

    def adopt(self, caller: str, provider: str) -> None:
        self.adopted.add((caller, provider))

    def set_controller(self, caller: str, controller: str) -> None:
        member = self.active(caller)
        check(controller == caller or (controller, caller) in self.adopted, "Duels_NotAdopted", controller, caller)
        member.controller = controller

    # ------------------------------------------------------------------------------------------------------------ seeds
    def commit_seed(self, caller: str, dispatcher: str, commitment: bytes, rate: int) -> None:
        self.active(dispatcher)
        self.check_actor(dispatcher, caller)
        check(0 < rate <= 1000, "Duels_RateOutOfBounds", rate)
        key = (dispatcher, self.epoch + 1)
        check(key not in self.seeds, "Duels_SeedCommitted", self.epoch + 1)
        self.seeds[key] = (commitment, rate)

    def reveal_until(self, epoch: int) -> int:
        return (epoch + 1) * EPOCH + EPOCH // 2

    def check_seed(self, dispatcher: str, epoch: int, seed: bytes) -> None:
        right = seed_commitment(self.court, _raw(dispatcher), epoch, seed) == self.seeds[dispatcher, epoch][0]
        check(right, "Duels_WrongSeed")

    def reveal_seed(self, _caller: str, dispatcher: str, epoch: int, seed: bytes) -> None:
        check(self.epoch > epoch, "Duels_EpochNotOver", epoch)
        check(self.now <= self.reveal_until(epoch), "Duels_RevealTooLate", self.reveal_until(epoch))
        check((dispatcher, epoch) in self.seeds, "Duels_NoSeed", dispatcher, epoch)
        check((dispatcher, epoch) not in self.revealed, "Duels_SeedRevealed", epoch)
        self.check_seed(dispatcher, epoch, seed)
        self.revealed.add((dispatcher, epoch))

    # ------------------------------------------------------------------------------------------------------------ duels
    def open(self, caller: str, duel_id: bytes, duel: Duel, fee: int, signers: tuple[str, str]) -> None:
        check(duel_id not in self.duels, "Duels_AlreadyOpened", duel_id)
        self.active(duel.dispatcher)
        self.check_actor(duel.dispatcher, caller)
        check(duel.attempt < MOST_ATTEMPTS, "Duels_TooManyAttempts", duel.attempt)
        groups = [self.members[duel.dispatcher].controller]
        groups += [self.known(executor).controller for executor in (duel.first, duel.second)]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            check(groups[one] != groups[other], "Duels_SameController", groups[one])
        check((duel.dispatcher, self.epoch) in self.seeds, "Duels_NoSeed", duel.dispatcher, self.epoch)
        check(signers == (duel.first, duel.second), "Duels_NotSignedByOperator")
        self.lock(duel.dispatcher, BOND)
        duel.prize = min(fee, LOSER * 400 // 1000)
        duel.trial = Trial(self.block + DELAY, self.epoch)
        self.duels[duel_id] = duel

    def draw(self, _caller: str, duel_id: bytes) -> None:
        duel = self.duels[duel_id]
        check(duel.state in (State.OPENED, State.APPEALED), "Duels_WrongState", duel.state)
        first = duel.state is State.OPENED
        trial = duel.trial if first or duel.retrial is None else duel.retrial
        check(self.block > trial.draw_block, "Duels_DrawNotYet", trial.draw_block)
        check(self.block <= trial.draw_block + 256, "Duels_DrawMissed", trial.draw_block)
        check(self.epoch <= trial.epoch + 1, "Duels_NoSnapshot", trial.epoch - 1)
        seed = seat_seed(keccak(str(trial.draw_block).encode()), duel_id)
        excluded = {_raw(self.members[who].controller) for who in (duel.dispatcher, duel.first, duel.second)}
        seats = draw_seats(self.snapshot(trial.epoch - 1), seed, excluded, JUDGES if first else JURY)
        check(bool(seats), "Duels_NoJudges")
        names = {_raw(name): name for name in self.members}
        trial.judges = [names[seat.provider] for seat in seats]
        trial.drawn_at = self.now
        duel.state = State.JUDGING if first else State.RETRIAL

    def seated(self, duel_id: bytes, seat: int) -> tuple[Trial, int]:
        """The trial a seat belongs to, and its number there."""
        duel = self.duels[duel_id]
        check(duel.state is (State.JUDGING if seat < JUDGES else State.RETRIAL), "Duels_WrongState", duel.state)
        if seat < JUDGES:
            return duel.trial, seat
        check(seat < JUDGES + JURY, "Duels_NoSuchSeat", seat)
        assert duel.retrial is not None
        return duel.retrial, seat - JUDGES

    def commit(self, caller: str, duel_id: bytes, seat: int, commitment: bytes) -> None:
        trial, number = self.seated(duel_id, seat)
        self.check_actor(trial.judges[number], caller)
        check(self.now < trial.commit_end, "Duels_TooLate", trial.commit_end)
        check(number not in trial.commitments, "Duels_AlreadyCommitted", seat)
        trial.commitments[number] = commitment

    def reveal(self, _caller: str, duel_id: bytes, seat: int, vote: Vote, salt: bytes, why: bytes) -> None:
        trial, number = self.seated(duel_id, seat)
        check(self.now >= trial.commit_end, "Duels_TooEarly", trial.commit_end)
        check(self.now < trial.reveal_end, "Duels_TooLate", trial.reveal_end)
        check(vote != 0, "Duels_BadVote", vote)
        found = vote_commitment(self.court, duel_id, Ballot(_raw(trial.judges[number]), vote, salt, why))
        check(trial.commitments.get(number) == found, "Duels_NotCommitted", seat)
        trial.commitments[number] = b""
        trial.votes[number] = vote

    def appeal(self, caller: str, duel_id: bytes, appellant: str) -> None:
        if caller != appellant:
            self.known(appellant)
            self.check_actor(appellant, caller)
        duel = self.duels[duel_id]
        check(duel.state is State.JUDGING, "Duels_WrongState", duel.state)
        begin = duel.trial.reveal_end
        check(self.now >= begin, "Duels_TooEarly", begin)
        check(self.now < begin + APPEAL, "Duels_TooLate", begin + APPEAL)
        self.lock(appellant, APPEAL_BOND)
        duel.state, duel.appellant = State.APPEALED, appellant
        duel.retrial = Trial(self.block + DELAY, self.epoch)

    # ----------------------------------------------------------------------------------------------------------- ending
    def outcome(self, duel: Duel) -> State:
        """What a duel that is due comes to."""
        if duel.state in (State.OPENED, State.APPEALED):
            trial = duel.trial if duel.retrial is None else duel.retrial
            check(self.block > trial.draw_block + 256, "Duels_DrawPossible", trial.draw_block + 256)
            return State.VOIDED if duel.state is State.OPENED else verdict(duel.trial, 4, 3)
        check(duel.state in (State.JUDGING, State.RETRIAL), "Duels_WrongState", duel.state)
        if duel.state is State.RETRIAL:
            assert duel.retrial is not None
            check(self.now >= duel.retrial.reveal_end, "Duels_TooEarly", duel.retrial.reveal_end)
            return verdict(duel.retrial, 10, 9)
        end = duel.trial.reveal_end + APPEAL
        check(self.now >= end, "Duels_TooEarly", end)
        return verdict(duel.trial, 4, 3)

    def finalize(self, _caller: str, duel_id: bytes) -> None:
        duel = self.duels[duel_id]
        duel.state = self.outcome(duel)
        right = {State.FIRST_WON: Vote.FIRST, State.SECOND_WON: Vote.SECOND}.get(duel.state)
        trials = [trial for trial in (duel.trial, duel.retrial) if trial is not None]
        share = self._sentence(duel, right, trials) if right else 0
        left = BOND - self._pay(duel.trial, right, share)
        if duel.state is State.VOIDED:
            self.burnt += left
        else:
            self.balances[duel.dispatcher] += left
        if duel.retrial is not None:
            left = APPEAL_BOND - self._pay(duel.retrial, right, share)
            if duel.state == verdict(duel.trial, 4, 3):
                self.burnt += left
            else:
                self.balances[duel.appellant] += left
        for trial in trials:
            self._slash_bench(trial, right)

    def _sentence(self, duel: Duel, right: Vote, trials: list[Trial]) -> int:
        winner, loser = (duel.first, duel.second) if right is Vote.FIRST else (duel.second, duel.first)
        slashed = self.slash(loser, LOSER)
        prize = min(duel.prize, slashed * 400 // 1000)
        agreeing = sum(vote is right for trial in trials for vote in trial.votes.values())
        share = slashed * 300 // 1000 // agreeing
        self.balances[winner] += prize
        self.held += prize + share * agreeing
        self.registry_burnt += slashed - prize - share * agreeing
        return share

    def _pay(self, trial: Trial, right: Vote | None, share: int) -> int:
        for number, vote in trial.votes.items():
            self.balances[trial.judges[number]] += FEE + (share if vote is right else 0)
        return FEE * len(trial.votes)

    def _slash_bench(self, trial: Trial, right: Vote | None) -> None:
        for number, judge in enumerate(trial.judges):
            vote = trial.votes.get(number)
            amount = SILENT if vote is None else MINORITY if right and vote is not right else 0
            self.registry_burnt += self.slash(judge, amount)

    # ----------------------------------------------------------------------------------------------------------- faults
    def report_unrevealed(self, caller: str, dispatcher: str, epoch: int) -> None:
        check((dispatcher, epoch) in self.seeds, "Duels_NoSeed", dispatcher, epoch)
        check((dispatcher, epoch) not in self.revealed, "Duels_SeedRevealed", epoch)
        check(self.now > self.reveal_until(epoch), "Duels_RevealNotOver", self.reveal_until(epoch))
        self._punish(caller, dispatcher, 1, (dispatcher, epoch))

    def report_wrong_draw(self, caller: str, duel_id: bytes, seed: bytes, request: bytes, nonce: bytes) -> None:
        duel = self.duels[duel_id]
        self.check_seed(duel.dispatcher, duel.trial.epoch, seed)
        check((request, nonce) == (duel.request_id, duel.nonce), "Duels_NoFault")
        rate = self.seeds[duel.dispatcher, duel.trial.epoch][1]
        if int.from_bytes(keccak(seed + request + nonce)) % 1000 < rate:
            check(self.epoch <= duel.trial.epoch + 1, "Duels_NoSnapshot", duel.trial.epoch - 1)
            snapshot = self.snapshot(duel.trial.epoch - 1)
            check(any(member.weight for member in snapshot), "Duels_NoJudges")
            found = draw_opponent(snapshot, seed, (request, nonce), duel.attempt)
            check(found.provider != _raw(duel.second), "Duels_NoFault")
        self._punish(caller, duel.dispatcher, 2, duel_id)

    def report_two_answers(self, caller: str, executor: str, occurrence: bytes, signer: str) -> None:
        check(signer == executor, "Duels_NotSignedByOperator")
        self._punish(caller, executor, 3, (executor, occurrence))

    def _punish(self, caller: str, culprit: str, fault: int, occurrence: object) -> None:
        check((fault, occurrence) not in self.proven, "Duels_AlreadyProven")
        self.proven.add((fault, occurrence))
        slashed = self.slash(culprit, FAULT)
        bounty = slashed * 300 // 1000
        self.balances[caller] += bounty
        self.held += bounty
        self.registry_burnt += slashed - bounty


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
