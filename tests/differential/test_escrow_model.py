"""The differential test: a hypothesis state machine drives model and bytecode together; nothing may ever differ.

Fast: some hundred steps in every run. Deep (`slow`): at least 50,000 steps. Everything is compared after every step.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from tests.differential.chain import DUELS
from tests.differential.model import NOBODY, Row, Signed
from tests.differential.world import MIN_STAKE, TIMES, World

DEEP_STEPS = int(os.environ.get("DIFFERENTIAL_STEPS", "50000"))
STEPS_PER_RUN = 100
AMOUNTS = st.integers(0, 3000)
WHO = st.integers(0, 2)
CONTEXT, ROOT = b"\x11" * 32, b"\x22" * 32
TAMPERED = ("generation", "seq", "cumulative", "root", "count", "ceiling", "context")
JUMPS = st.sampled_from((1, 59, TIMES.hold // 2, TIMES.hold, TIMES.thaw, TIMES.payout_delay, 3600, TIMES.unbonding))

totals: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    """One rule a function of the contracts; arguments good and bad."""

    rows = Bundle("rows")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.model, self.chain = self.world.model, self.world.chain
        for payee in self.world.payees:
            self._escrow(payee, "set_operator", "setOperator", self.world.operators[0])
        for payer in self.world.payers:
            self.world.mint(payer, 20_000)
            self._escrow(payer, "deposit_for", "depositFor", payer, 9000)

    def teardown(self) -> None:
        totals["steps"] += self.world.steps

    @invariant()
    def nothing_differs(self) -> None:
        self.world.compare()

    def _escrow(self, caller: str, method: str, name: str, *arguments: object, sent: tuple | None = None) -> None:
        def act() -> object:
            return getattr(self.model, method)(caller, *arguments)

        sent = arguments if sent is None else sent
        error = self.world.step(act, self.chain.escrow, caller, name, *sent)
        totals[f"{name} {error}".strip()] += 1

    def _registry(self, caller: str, method: str, name: str, *arguments: object) -> None:
        def act() -> object:
            return getattr(self.model, method)(caller, *arguments)

        error = self.world.step(act, self.chain.registry, caller, name, *arguments)
        totals[f"{name} {error}".strip()] += 1

    # ------------------------------------------------------------------------------------------------------- the payer
    @rule(seconds=JUMPS)
    def time_passes(self, seconds: int) -> None:
        self.world.warp(seconds)

    @rule(a=st.integers(0, 8), b=WHO, amount=AMOUNTS, nobody=st.integers(0, 30))
    def deposit_for(self, a: int, b: int, amount: int, nobody: int) -> None:
        payer = NOBODY if nobody == 0 else self.world.payers[b]
        self._escrow(self.world.everybody[a], "deposit_for", "depositFor", payer, amount)

    @rule(a=WHO, rows=st.lists(st.tuples(st.integers(0, 40), AMOUNTS), max_size=3))
    def allot(self, a: int, rows: list[tuple[int, int]]) -> None:
        named = [((NOBODY if b == 40 else self.world.payees[b % 3]), amount) for b, amount in rows]
        self._escrow(self.world.payers[a], "allot", "allot", named, sent=_columns(named))

    @rule(a=WHO, rows=st.lists(st.tuples(WHO, AMOUNTS), max_size=3))
    def request_thaw(self, a: int, rows: list[tuple[int, int]]) -> None:
        named = [(self.world.payees[b], amount) for b, amount in rows]
        self._escrow(self.world.payers[a], "request_thaw", "requestThaw", named, sent=_columns(named))

    @rule(a=WHO, payees=st.lists(WHO, max_size=2))
    def cancel_thaw(self, a: int, payees: list[int]) -> None:
        self._escrow(self.world.payers[a], "cancel_thaw", "cancelThaw", [self.world.payees[b] for b in payees])

    @rule(a=WHO, payees=st.lists(WHO, max_size=3), to=st.integers(0, 9))
    def withdraw(self, a: int, payees: list[int], to: int) -> None:
        target = NOBODY if to == 9 else self.world.everybody[to]
        self._escrow(self.world.payers[a], "withdraw", "withdraw", [self.world.payees[b] for b in payees], target)

    @rule(a=WHO, s=st.integers(0, 1), by=st.integers(0, 5), cap=AMOUNTS, late=st.integers(-2, 20), off=st.booleans())
    def authorize_signer(self, a: int, s: int, by: int, cap: int, late: int, off: bool) -> None:  # noqa: FBT001
        payer, signer = self.world.payers[a], self.world.signers[s]
        deadline = self.model.now + late
        signed_by = signer if by else self.world.payers[0]
        consent = Signed(signed_by, ("SignerConsent", payer, cap + (1 if off and not by else 0), deadline))
        real = self.world.signature(consent)
        self._escrow(
            payer, "authorize_signer", "authorizeSigner", signer, cap, deadline, consent,
            sent=(signer, cap, deadline, real),
        )  # fmt: skip

    @rule(a=WHO, s=st.integers(0, 1), cap=AMOUNTS)
    def raise_cap(self, a: int, s: int, cap: int) -> None:
        self._escrow(self.world.payers[a], "raise_signer_cap", "raiseSignerCap", self.world.signers[s], cap * 2)

    @rule(a=WHO, s=st.integers(0, 1), end=st.integers(0, 3))
    def end_signer(self, a: int, s: int, end: int) -> None:
        signer = self.world.signers[s]
        caller = self.model.signers[signer].payer if end and self.model.signers[signer].payer != NOBODY else None
        method, name = (("thaw_signer", "thawSigner"), ("revoke_signer", "revokeSigner"))[end % 2]
        self._escrow(caller or self.world.payers[a], method, name, signer)

    # ------------------------------------------------------------------------------------------------------- the payee
    @rule(b=WHO, o=st.integers(0, 9))
    def set_operator(self, b: int, o: int) -> None:
        operator = NOBODY if o == 9 else self.world.operators[o % 2]
        self._escrow(self.world.payees[b], "set_operator", "setOperator", operator)

    @rule(b=WHO, by=st.integers(0, 8))
    def bump_generation(self, b: int, by: int) -> None:
        payee = self.world.payees[b]
        callers = (payee, self.model.payees[payee].operator)
        caller = callers[by % 2] if by < 7 else self.world.everybody[by]
        self._escrow(caller, "bump_generation", "bumpGeneration", payee)

    @rule(b=WHO, to=st.integers(0, 9))
    def set_payout(self, b: int, to: int) -> None:
        self._escrow(self.world.payees[b], "set_payout", "setPayout", NOBODY if to == 9 else self.world.everybody[to])

    @rule(a=st.integers(0, 8), b=WHO)
    def collect(self, a: int, b: int) -> None:
        self._escrow(self.world.everybody[a], "collect_earnings", "collectEarnings", self.world.payees[b])

    # -------------------------------------------------------------------------------------------------------- settling
    @rule(
        target=rows, a=WHO, b=WHO, lane=st.integers(0, 3), more=st.integers(-500, 2500), slack=st.integers(-1, 900),
        back=st.sampled_from((0, 0, 0, 0, 1, -1)), late=st.sampled_from((0, 0, 0, 60_000_000, 60_000_001, -5)),
    )  # fmt: skip
    def sign_row(self, a: int, b: int, lane: int, more: int, slack: int, back: int, late: int) -> Row:
        payer, payee = self.world.payers[a], self.world.payees[b]
        lane_of = (payer, payer, *self.world.signers)[lane]
        generation = max(self.model.payees[payee].generation - back, 0)
        cumulative = max(self.model.lanes[payer, payee, lane_of].claimed + more, 0)
        return self._signed(payer, payee, lane_of, generation, cumulative, max(cumulative + slack, 0), late)

    def _signed(
        self, payer: str, payee: str, lane_of: str, generation: int, cumulative: int, ceiling: int, late: int
    ) -> Row:
        seq = self.model.now * 1_000_000 + late
        nothing = Signed(lane_of, ())
        row = Row(
            payer, payee, generation, seq, cumulative, ROOT, 3, ceiling, CONTEXT, nothing, nothing,
        )  # fmt: skip
        reign = self.model.payees[payee].generations.get(generation)
        operator = reign.operator if reign else self.world.operators[0]
        return Row(
            payer, payee, generation, seq, cumulative, ROOT, 3, ceiling, CONTEXT,
            Signed(lane_of, row.voucher_message()), Signed(operator, row.claim_message(lane_of)),
        )  # fmt: skip

    @rule(target=rows, row=rows, name=st.sampled_from(TAMPERED))
    def tamper(self, row: Row, name: str) -> object:
        changed = World.tampered(row, name)
        return multiple() if changed.generation > 2**32 - 1 else changed

    @rule(target=rows, row=rows, other=rows)
    def swap_signatures(self, row: Row, other: Row) -> Row:
        values = {name: getattr(row, name) for name in Row.__slots__} | {"claim": other.claim}
        return Row(**values)

    @rule(chosen=st.lists(rows, max_size=5), a=st.integers(0, 8))
    def claim(self, chosen: list[Row], a: int) -> None:
        sent = ([self.world.row(row) for row in chosen],)
        self._escrow(self.world.everybody[a], "claim", "claim", chosen, sent=sent)

    @rule(row=rows, seldom=st.integers(0, 15))
    def claim_too_many(self, row: Row, seldom: int) -> None:
        if seldom:
            return self.claim([row], 0)
        return self._escrow(row.payer, "claim", "claim", [row] * 51, sent=([self.world.row(row)] * 51,))

    @rule(target=rows, a=WHO, b=WHO, lane=st.integers(0, 3), more=st.integers(1, 1500), seconds=st.integers(0, 400))
    def serve_and_settle(self, a: int, b: int, lane: int, more: int, seconds: int) -> Row:
        payer, payee = self.world.payers[a], self.world.payees[b]
        if self.model.free[payer] > more:
            self._escrow(payer, "allot", "allot", [(payee, more)], sent=([payee], [more]))
        self.world.warp(seconds)
        row = self.sign_row_of(a, b, lane, more)
        self.claim([row], a)
        return row

    @rule(a=WHO, b=WHO, more=st.integers(1, 900), less=st.integers(1, 900), lane=st.integers(0, 2))
    def serve_and_cheat(self, a: int, b: int, more: int, less: int, lane: int) -> None:
        row = self.serve_and_settle(a, b, lane, more, 1)
        self.challenge(row, less, 0, 0, a)

    @rule(b=WHO)
    def wait_and_collect(self, b: int) -> None:
        self.world.warp(TIMES.hold)
        self._escrow(self.world.payers[0], "collect_earnings", "collectEarnings", self.world.payees[b])

    def sign_row_of(self, a: int, b: int, lane: int, more: int) -> Row:
        payer, payee = self.world.payers[a], self.world.payees[b]
        lane_of = (payer, payer, *self.world.signers)[lane]
        cumulative = self.model.lanes[payer, payee, lane_of].claimed + more
        generation = self.model.payees[payee].generation
        return self._signed(payer, payee, lane_of, generation, cumulative, cumulative, 0)

    @rule(row=rows, less=st.integers(-1, 400), later=st.sampled_from((0, 1, -1)), by=st.integers(0, 9), a=WHO)
    def challenge(self, row: Row, less: int, later: int, by: int, a: int) -> None:
        lane_of = row.voucher.by
        claim_message = row.claim_message(lane_of)
        cumulative, seq = max(row.cumulative - less, 0), max(row.seq + later, 0)
        receipt = _receipt(row, lane_of, seq, cumulative, row.generation + (1 if by == 9 else 0))
        signer = self.world.operators[0] if by == 8 else row.claim.by
        short = (row.payer, row.payee, lane_of, row.generation, row.seq, row.cumulative)
        answer = (row.payer, row.payee, lane_of, receipt[4], seq, cumulative)
        good = row.claim.message == claim_message
        sent = (
            claim_message[1:], self.world.signature(row.claim),
            receipt[1:], self.world.signature(Signed(signer, receipt)),
        )  # fmt: skip
        by_claim = Signed(row.claim.by, short if good else None)
        self._escrow(
            self.world.payers[a], "challenge", "challengeOverclaim", short, by_claim, answer, Signed(signer, answer),
            sent=sent,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------------- registry
    @rule(
        b=WHO, stake=st.integers(MIN_STAKE - 90, 2 * MIN_STAKE), length=st.sampled_from((1, 20, 30, 256, 256, 257, 0))
    )
    def register(self, b: int, stake: int, length: int) -> None:
        if stake % 5 == 0:
            self.world.warp(TIMES.hold)
        self.world.mint(self.world.payees[b], stake if stake % 7 else 0)
        self._registry(self.world.payees[b], "register", "register", "e" * length, ROOT, stake)

    @rule(b=WHO, amount=st.integers(0, 900))
    def add_stake(self, b: int, amount: int) -> None:
        self.world.mint(self.world.payees[b], amount if amount % 7 else 0)
        self._registry(self.world.payees[b], "add_stake", "addStake", amount)

    @rule(b=WHO, amount=st.integers(0, 900))
    def request_unstake(self, b: int, amount: int) -> None:
        self._registry(self.world.payees[b], "request_unstake", "requestUnstake", amount)

    @rule(b=WHO, seldom=st.integers(0, 7))
    def deregister(self, b: int, seldom: int) -> None:
        if seldom and self.model.providers[self.world.payees[b]].listed:
            return
        self._registry(self.world.payees[b], "deregister", "deregister")

    @rule(b=WHO, to=st.integers(0, 9))
    def withdraw_stake(self, b: int, to: int) -> None:
        target = NOBODY if to == 9 else self.world.everybody[to]
        self._registry(self.world.payees[b], "withdraw_stake", "withdrawStake", target)

    @rule(b=WHO, a=st.integers(0, 8), paid=AMOUNTS, burn=AMOUNTS)
    def slash(self, b: int, a: int, paid: int, burn: int) -> None:
        caller = DUELS if a < 6 else self.world.everybody[a]
        payee = self.world.payees[b]

        def act() -> None:
            self.model.slash("duels" if a < 6 else caller, payee, paid, burn)

        error = self.world.step(act, self.chain.registry, caller, "slash", payee, paid, burn)
        totals[f"slash {error}".strip()] += 1


def _columns(rows: list[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [payee for payee, _ in rows], [amount for _, amount in rows]


def _receipt(row: Row, lane_of: str, seq: int, cumulative: int, generation: int) -> tuple:
    return (
        "Receipt", row.payer, row.payee, lane_of, generation, seq, ROOT, CONTEXT, ROOT, ROOT, bytes(32), 1, 2, 1, 5,
        cumulative,
    )  # fmt: skip


def _run(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS_PER_RUN,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),  # shrinking a hundred steps takes longer than reading them
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.property
def test_escrow__some_histories__equal_the_model():
    _run(6)


@pytest.mark.property
@pytest.mark.slow
@pytest.mark.timeout(0)
def test_escrow__fifty_thousand_steps__equal_the_model(capsys):
    totals.clear()
    _run(DEEP_STEPS // STEPS_PER_RUN * 2)
    with capsys.disabled():
        print(f"\ndifferential: {totals['steps']} steps, {len(totals) - 1} outcomes")
        for name, count in sorted(totals.items()):
            print(f"  {name}: {count}")
    assert totals["steps"] >= DEEP_STEPS
