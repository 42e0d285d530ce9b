"""The differential test of `Duels`: a hypothesis state machine drives model and bytecode; nothing may ever differ.

Fast: some hundred steps in every run. Deep (`slow`): at least 20,000 steps. Everything is compared after every step.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from node.core.duel_chain import Ballot, seed_commitment, vote_commitment
from node.core.duels import Vote
from node.core.hashing import keccak, word
from tests.differential import duels_model as rules
from tests.differential.duels_model import Duel, State, Trial
from tests.differential.duels_world import MODEL, REQUEST_HASH, DuelsWorld

DEEP_STEPS = int(os.environ.get("DIFFERENTIAL_STEPS", "20000"))
WHO = st.integers(0, 8)
AMOUNTS = st.integers(0, 200)
WHY = b"\x05" * 32
BALLOTS = st.one_of(
    st.lists(st.sampled_from((0, 1, 1, 1, 2, 3, 4)), min_size=15, max_size=15),
    st.integers(1, 4).map(lambda vote: [vote] * 15),
)

totals: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    """One rule a function, arguments good and bad, and whole trials, which chance would not bring about."""

    def __init__(self) -> None:
        super().__init__()
        self.world = DuelsWorld()
        self.model = self.world.model
        self.everybody_commits(1000)
        self.world.move(7, rules.EPOCH)
        for attempt in (rules.MOST_ATTEMPTS, rules.MOST_ATTEMPTS - 1):  # the first is refused
            self.open([0, 1, 2], 40, odd=9, again=9, attempt=attempt, draws=True)

    def teardown(self) -> None:
        totals["steps"] += self.world.steps

    @invariant()
    def nothing_differs(self) -> None:
        self.world.compare()

    def _call(self, caller: str, method: str, name: str, *arguments: object, sent: tuple | None = None) -> str:
        error = self.world.duels(caller, method, name, *arguments, sent=sent)
        totals[f"{name} {error}".strip()] += 1
        return error

    def _who(self, number: int) -> str:
        return self.world.members[number] if number < len(self.world.members) else self.world.stranger

    def _seed(self, who: str, epoch: int) -> bytes:
        return keccak(bytes.fromhex(who[2:]) + word(epoch))

    def _key(self, which: int) -> bytes:
        return list(self.model.duels)[which % len(self.model.duels)]

    # -------------------------------------------------------------------------------------------------- time and money
    @rule(seconds=st.sampled_from((1, 100, rules.COMMIT, rules.EPOCH // 2, rules.EPOCH)), blocks=st.integers(1, 300))
    def time_passes(self, seconds: int, blocks: int) -> None:
        self.world.move(blocks, seconds)

    @rule(a=WHO, amount=AMOUNTS)
    def fund(self, a: int, amount: int) -> None:
        self.world.fund(self._who(a), amount)

    @rule(a=st.integers(0, 9))
    def collect(self, a: int) -> None:
        who = self._who(a)
        self._call(who, "collect", "collect", who)

    @rule(a=WHO, amount=st.integers(rules.MIN_STAKE, 5 * rules.MIN_STAKE), leaves=st.booleans())
    def restake(self, a: int, amount: int, leaves: bool) -> None:  # noqa: FBT001
        who = self._who(a)
        if leaves:
            self.world.deregister(who)
        else:
            self.world.register(who, amount)

    # ---------------------------------------------------------------------------------------------------------- members
    @rule(a=st.integers(0, 9))
    def enroll_or_resign(self, a: int) -> None:
        who = self._who(a)
        if self._call(who, "enroll", "enroll", self.world.stranger):
            self._call(who, "resign", "resign")

    @rule(a=st.integers(0, 9))
    def sync(self, a: int) -> None:
        self._call(self.world.stranger, "sync", "sync", self._who(a))

    @rule(a=st.integers(0, 9), b=WHO, adopted=st.booleans())
    def group(self, a: int, b: int, adopted: bool) -> None:  # noqa: FBT001
        who, controller = self._who(a), self._who(b)
        if adopted:
            self._call(controller, "adopt", "adopt", who)
        self._call(who, "set_controller", "setController", controller)

    # ------------------------------------------------------------------------------------------------------------ seeds
    @rule(rate=st.sampled_from((0, 1, 500, 1000, 1000, 1001)))
    def everybody_commits(self, rate: int) -> None:
        epoch = self.model.epoch + 1
        for number, who in enumerate(self.world.members):
            commitment = seed_commitment(self.model.court, bytes.fromhex(who[2:]), epoch, self._seed(who, epoch))
            arguments = (who, commitment, rate)
            caller = self.world.stranger if number < 2 else who
            self._call(caller, "commit_seed", "commitSeed", *arguments)

    @rule(a=WHO, back=st.integers(0, 2), wrong=st.integers(0, 5))
    def reveal_seed(self, a: int, back: int, wrong: int) -> None:
        who, epoch = self._who(a), self.model.epoch - back
        seed = self._seed(who, epoch + (1 if wrong == 0 else 0))
        self._call(self.world.stranger, "reveal_seed", "revealSeed", who, epoch, seed)

    @rule(a=WHO, back=st.integers(0, 3))
    def report_unrevealed(self, a: int, back: int) -> None:
        arguments = (self._who(a), self.model.epoch - back)
        self._call(self.world.stranger, "report_unrevealed", "reportUnrevealed", *arguments)

    # ------------------------------------------------------------------------------------------------------------ duels
    @rule(
        parties=st.lists(WHO, min_size=3, max_size=3, unique=True), fee=AMOUNTS, odd=st.integers(0, 30),
        again=st.integers(0, 12), attempt=st.integers(0, 3), draws=st.booleans(),
    )  # fmt: skip
    def open(self, parties: list[int], fee: int, odd: int, again: int, attempt: int, draws: bool) -> None:  # noqa: FBT001
        dispatcher, first, second = (self._who(each) for each in parties)
        if odd == 0:
            second = first
        number = len(self.model.duels) - (1 if again == 0 else 0)
        request = word(number)
        nonce = keccak(request + bytes.fromhex(first[2:]))
        duel = Duel(dispatcher, first, second, request, nonce, attempt, 0, Trial(0, 0))
        caller = self.world.stranger if odd == 1 else dispatcher
        error = self.world.open(caller, duel, fee, (second if odd == 2 else first, second))
        totals[f"open {error}".strip()] += 1
        if draws and not error:
            self.draw(number, rules.DELAY + 1)

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), blocks=st.integers(0, 4))
    def draw(self, which: int, blocks: int) -> None:
        self.world.move(blocks, 1)
        self._call(self.world.stranger, "draw", "draw", self._key(which))

    def _vote(self, key: bytes, seat: int, vote: int) -> None:
        """What the seat's judge commits, by itself or by its delegate."""
        ballot = self._ballot(key, seat, vote)
        who = "0x" + ballot.judge.hex()
        caller = next(name for name in self.model.members if name.lower() == who)
        self._call(caller, "commit", "commit", key, seat, vote_commitment(self.model.court, key, ballot))

    def _ballot(self, key: bytes, seat: int, vote: int) -> Ballot:
        duel = self.model.duels[key]
        judges = [*duel.trial.judges, *(duel.retrial.judges if duel.retrial is not None else ())]
        return Ballot(bytes.fromhex(judges[seat][2:]), Vote(vote), word(seat), WHY)

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), votes=BALLOTS, hidden=st.integers(0, 40), ends=st.booleans())
    def trial(self, which: int, votes: list[int], hidden: int, ends: bool) -> None:  # noqa: FBT001
        """A whole trial of a duel that is being judged: commits, reveals (one may be withheld), and maybe its end."""
        key = self._key(which)
        state = self.model.duels[key].state
        if state not in (State.JUDGING, State.RETRIAL):
            return
        seats = range(5) if state is State.JUDGING else range(5, 20)
        for seat, vote in zip(seats, votes, strict=False):
            if vote:
                self._vote(key, seat, vote)
        self.world.move(1, rules.COMMIT)
        for seat, vote in zip(seats, votes, strict=False):
            if vote and seat != hidden:
                self._reveal(key, seat, vote)
        if ends:
            self.world.move(1, rules.REVEAL)

    def _reveal(self, key: bytes, seat: int, vote: int) -> None:
        self._call(self.world.stranger, "reveal", "reveal", key, seat, Vote(vote), word(seat), WHY)

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), seat=st.integers(0, 21), vote=st.integers(1, 4))
    def single_steps(self, which: int, seat: int, vote: int) -> None:
        key = self._key(which)
        self._call(self._who(seat % 10), "commit", "commit", key, seat, WHY)
        self._reveal(key, seat, vote)

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), a=st.integers(0, 9), other=st.integers(0, 6))
    def appeal(self, which: int, a: int, other: int) -> None:
        caller = self._who(a)
        appellant = self._who(0) if other == 0 else caller
        self._call(caller, "appeal", "appeal", self._key(which), appellant)

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), forced=st.booleans())
    def finalize(self, which: int, forced: bool) -> None:  # noqa: FBT001
        if forced:
            self.world.move(300, rules.COMMIT + rules.REVEAL + rules.APPEAL)
        self._call(self.world.stranger, "finalize", "finalize", self._key(which))

    @precondition(lambda self: self.model.duels)
    @rule(which=st.integers(0, 50), wrong=st.integers(0, 9))
    def report_wrong_draw(self, which: int, wrong: int) -> None:
        key = self._key(which)
        duel = self.model.duels[key]
        seed = self._seed(duel.dispatcher, duel.trial.epoch + (1 if wrong == 0 else 0))
        request = word(1 << 40) if wrong == 1 else duel.request_id
        arguments = (key, seed, request, duel.nonce)
        self._call(self.world.stranger, "report_wrong_draw", "reportWrongDraw", *arguments)

    @rule(a=WHO, b=WHO, request=st.integers(0, 9))
    def report_two_answers(self, a: int, b: int, request: int) -> None:
        executor, signer = self._who(a), self._who(b)
        payer = self.world.stranger
        sides = [self.world.side(payer, word(request), executor, signer, bytes([n]) * 32) for n in (1, 2)]
        sent = (payer, word(request), [REQUEST_HASH] * 2, [MODEL] * 2, sides)
        arguments = (executor, word(request), signer)
        self._call(payer, "report_two_answers", "reportTwoAnswers", *arguments, sent=sent)


def _settings(steps: int) -> settings:
    """Runs of 30 rules, each several calls."""
    return settings(
        max_examples=max(steps // 120, 1), stateful_step_count=30, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate,),
    )  # fmt: skip


def test_duels_model__some_hundred_steps__never_differs_from_the_bytecode():
    totals.clear()
    run_state_machine_as_test(Machine, settings=_settings(500))
    assert totals["steps"] > 200
    assert totals["draw"] > 0
    assert totals["reveal"] > 0
    assert totals["open Duels_TooManyAttempts"] > 0


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_duels_model__deep__never_differs_and_reaches_everything():
    totals.clear()
    while totals["steps"] < DEEP_STEPS:
        run_state_machine_as_test(Machine, settings=settings(_settings(DEEP_STEPS), derandomize=False))
    reached = ("finalize", "appeal", "reveal", "reportWrongDraw", "reportTwoAnswers", "reportUnrevealed", "revealSeed")
    assert all(totals[name] > 0 for name in reached), totals
