"""Threat P8 as a machine: random sales, claims, pushes, backups, restores, crashes, clock jumps, bumps and resyncs.

Driven: the node's own account rules, high-water mark and recovery guard. Simulated: database, escrow, tower, clients.
After every step no two things the payee ever signed convict it (INV9), running totals add up (INV12), the chain's
claimed total never fell, and no client is asked for more than it was charged. `WWWSERVE_DEEP=1` for long runs.
"""

import os
from collections.abc import Coroutine
from copy import deepcopy
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.adapters.ledger.high_water import HighWater
from node.core.account import LaneState, Outcome, admit, close
from node.core.errors import LaneFrozen
from node.core.folds import PayeeView
from node.core.messages import Claim, Receipt
from node.core.recovery import LaneGap, Mark
from node.core.types import ZERO32, Address, Amount, LaneKey, Micros, Seconds, Signature, Status, TokenCount
from node.ports.tower import TowerClaim
from node.services.recovery import Recovery
from tests.factories import NOW, PAYEE, PAYER, make_admission, make_pair, request_id

LANES = [Address(bytes([number]) * 20) for number in (1, 2, 3)]
COVER = 10**12
T = TypeVar("T")
IS_DEEP = bool(os.environ.get("WWWSERVE_DEEP"))
RUNS = settings(max_examples=2_000 if IS_DEEP else 60, stateful_step_count=120 if IS_DEEP else 50, deadline=None)


@dataclass
class Database:
    """What a backup holds and a restore brings back."""

    lanes: dict[Address, LaneState] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)


@dataclass
class World:
    """What no restore of the payee's can change. `shown` are the receipts that reached their client."""

    generation: int = 1
    claimed: dict[Address, int] = field(default_factory=dict)
    mined: dict[tuple[Address, int], Claim] = field(default_factory=dict)
    pushed: dict[tuple[Address, int], Claim] = field(default_factory=dict)
    shown: dict[Address, Receipt] = field(default_factory=dict)
    charged: dict[Address, int] = field(default_factory=dict)
    """The sum of all charges ever made to a lane, remembered or forgotten."""


class Payee:
    """One node process: recovery's book and tower over the simulated database and world."""

    name = "tower"

    def __init__(self, database: Database, world: World, high_water: HighWater) -> None:
        self.database, self.world, self.high_water = database, world, high_water
        self.serving: Any = SimpleNamespace(suspended="")
        self.chain: Any = SimpleNamespace(payee_view=PayeeView(world.generation, PAYEE, world.generation, {}))
        self.recovery = Recovery(self, high_water, self.chain, self.serving, PAYEE, (self,))  # type: ignore[arg-type]

    def watch(self) -> None:
        """One poll of the chain."""
        generation = self.world.generation
        self.chain.payee_view = PayeeView(generation, PAYEE, generation, {})
        done(self.recovery.watch())

    @property
    def signs(self) -> bool:
        return self.recovery.is_sound and not self.serving.suspended

    # --- ports.RecoveryBook, as far as the guard asks
    async def load_mark(self, generation: int) -> Mark:
        rows = self.database.receipts
        return Mark(generation, len(rows), Micros(max((row.seq for row in rows), default=0)))

    async def load_claimed_ahead(self, _payee: Address, generation: int) -> list[LaneGap]:
        gaps = []
        for (lane, of_generation), claim in self.world.mined.items():
            state = self.database.lanes.get(lane)
            known = state.charged if state and state.key.generation == generation else 0
            if of_generation == generation and claim.cumulative > known:
                gaps.append(LaneGap(claim_key(claim), Amount(known), claim.cumulative, "the escrow"))
        return gaps

    async def load_generations(self, key: LaneKey) -> dict[int, tuple[Micros, int]]:
        mine = [row for row in self.database.receipts if row.lane == key.lane]
        found = {row.generation: [one for one in mine if one.generation == row.generation] for row in mine}
        return {number: (rows[-1].seq, len(rows)) for number, rows in found.items()}

    async def freeze_lanes(self, _payee: Address) -> int:
        lanes = self.database.lanes
        lanes.update({lane: replace(state, is_frozen=True) for lane, state in lanes.items()})
        return len(lanes)

    async def void_reservations(self, _payee: Address) -> int:
        lanes = self.database.lanes
        lanes.update({lane: replace(state, reserved=Amount(0)) for lane, state in lanes.items()})
        return 0

    # --- ports.Tower
    async def load_claims(self, _payee: Address) -> list[TowerClaim]:
        return [TowerClaim(claim, Signature(b"\x01" * 65)) for claim in self.world.pushed.values()]


def done(asked: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing: a loop for each would be most of the work."""
    try:
        asked.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


def claim_key(claim: Claim) -> LaneKey:
    return LaneKey(claim.payer, claim.payee, claim.lane, claim.generation)


def convicts(claim: Claim, receipt: Receipt) -> bool:
    """The escrow's own rule (design of `challengeOverclaim`)."""
    same = (claim.lane, claim.generation) == (receipt.lane, receipt.generation)
    return same and receipt.seq >= claim.seq and receipt.cumulative < claim.cumulative


class RestoreMachine(RuleBasedStateMachine):
    """One rule, one thing that happens to a payee."""

    @initialize()
    def start(self) -> None:
        self.world, self.high_water, self.database = World(), HighWater(), Database()
        self.high_water.accept(Mark(1))
        self.backups = [deepcopy(self.database)]
        self.signed_receipts: list[Receipt] = []
        self.signed_claims: list[Claim] = []
        self.clock, self.chain_clock, self.number = 0, 0, 0
        self.boot()

    def boot(self) -> None:
        self.payee = Payee(self.database, self.world, self.high_water)
        self.payee.watch()

    def now(self) -> Micros:
        """This machine's clock, never beyond the chain's (services/closing)."""
        return Micros(NOW * 1_000_000 + min(self.clock, self.chain_clock))

    def opened(self, lane: Address) -> LaneState | None:
        """The lane in the present generation; a new one opens by the client's word (rule 6: resync)."""
        state = self.database.lanes.get(lane)
        if state is None and self.world.generation == 1:
            state = LaneState(LaneKey(PAYER, PAYEE, lane, 1))
        if state is None or state.is_frozen or state.key.generation != self.world.generation:
            return None
        return state

    # ------------------------------------------------------------------------------------------------- selling
    @precondition(lambda self: self.payee.signs)
    @rule(lane=st.sampled_from(LANES), charge=st.integers(0, 9), is_shown=st.booleans())
    def sell(self, lane: Address, charge: int, *, is_shown: bool) -> None:
        state = self.opened(lane)
        if state is None:
            return
        self.number += 1
        admission = make_admission(
            ceiling=COVER, max_price=Amount(9), request_id=request_id(self.number), key=state.key
        )
        admission = replace(admission, received_at=Seconds(NOW + self.chain_clock // 1_000_000 + 1))
        lane_state, pair = admit(state, make_pair(cover=COVER), admission)
        outcome = Outcome(Status.COMPLETE, TokenCount(1, 1), Amount(charge), ZERO32, ZERO32)
        after, _, receipt = close(lane_state, pair, admission, outcome, self.now())
        self.database.lanes[lane] = after
        self.database.receipts.append(receipt)
        self.high_water.note([receipt])
        self.signed_receipts.append(receipt)
        self.world.charged[lane] = self.world.charged.get(lane, 0) + charge
        if is_shown:
            self.world.shown[lane] = receipt

    @precondition(lambda self: self.payee.signs)
    @rule(lane=st.sampled_from(LANES), is_mined=st.booleans())
    def claim(self, lane: Address, *, is_mined: bool) -> None:
        """No claim leaves before a tower has stored it (rule 8)."""
        state = self.opened(lane)
        if state is None or not state.count:
            return
        made = Claim(PAYER, PAYEE, lane, state.key.generation, state.seq, state.charged, ZERO32, state.count)
        self.signed_claims.append(made)
        self.world.pushed[lane, made.generation] = made
        if is_mined:
            self.mine(made)

    @rule(lane=st.sampled_from(LANES))
    def tower_claims(self, lane: Address) -> None:
        """The tower, or anybody, has the newest pushed claim mined."""
        made = self.world.pushed.get((lane, self.world.generation))
        if made is not None:
            self.mine(made)

    def mine(self, made: Claim) -> None:
        before = self.world.claimed.get(made.lane, 0)
        self.world.claimed[made.lane] = max(before, made.cumulative)
        self.world.mined[made.lane, made.generation] = made

    # -------------------------------------------------------------------------------------------------- accidents
    @rule()
    def back_up(self) -> None:
        self.backups.append(deepcopy(self.database))

    @rule()
    def crash(self) -> None:
        self.boot()

    @rule(which=st.integers(0, 10**6))
    def restore(self, which: int) -> None:
        """A backup of any age, and the node is started on it."""
        self.database = deepcopy(self.backups[which % len(self.backups)])
        self.boot()

    @rule(which=st.integers(0, 10**6))
    def database_is_swapped_under_the_node(self, which: int) -> None:
        """A lagging replica answers after a reconnect: the writer checks before its next commit."""
        self.database = self.payee.database = deepcopy(self.backups[which % len(self.backups)])
        mark = done(self.payee.load_mark(self.world.generation))
        if self.high_water.seen is not None and mark.is_behind(self.high_water.seen):
            self.high_water.is_behind = True
        self.payee.watch()

    @rule(moved=st.integers(-600_000_000, 600_000_000), passed=st.integers(0, 50_000_000))
    def time_passes(self, moved: int, passed: int) -> None:
        """The chain's clock goes on; the machine's own may jump ten minutes either way."""
        self.chain_clock += passed
        self.clock = max(0, self.chain_clock + moved)

    # --------------------------------------------------------------------------------------------------- recovery
    @precondition(lambda self: not self.payee.signs)
    @rule()
    def bump(self) -> None:
        """The owner follows the one instruction."""
        self.world.generation += 1
        self.payee.watch()
        assert self.payee.signs

    @precondition(lambda self: self.payee.signs)
    @rule(lane=st.sampled_from(LANES))
    def resync(self, lane: Address) -> None:
        """A client's first request of a generation: its last receipt is newer than the books, or reopens the lane."""
        shown, generation = self.world.shown.get(lane), self.world.generation
        state = self.database.lanes.get(lane)
        opened = self.opened(lane)
        if opened is not None:
            if shown is not None and shown.generation == generation and shown.seq > opened.seq:
                done(self.payee.recovery.suspend(generation, ["a client holds a newer receipt"]))
            return
        if shown is not None and shown.generation == generation:
            return
        proved = shown.cumulative if shown else 0
        held = max([claim.cumulative for (of, _), claim in self.world.pushed.items() if of == lane], default=0)
        charged = state.charged if state else 0
        base = Amount(max(self.world.claimed.get(lane, 0), proved, held, charged))
        key = LaneKey(PAYER, PAYEE, lane, generation)
        self.database.lanes[lane] = LaneState(key, base=base, charged=base, claimed=Amount(0))

    @precondition(lambda self: bool(self.database.lanes))
    @rule()
    def frozen_lanes_sell_nothing(self) -> None:
        for state in self.database.lanes.values():
            if state.is_frozen:
                try:
                    admit(state, make_pair(cover=COVER), make_admission(key=state.key))
                except LaneFrozen:
                    continue
                raise AssertionError("a frozen lane was served")

    # ------------------------------------------------------------------------------------------------- invariants
    @invariant()
    def nothing_signed_convicts(self) -> None:
        for claim in self.signed_claims:
            guilty = [receipt for receipt in self.signed_receipts if convicts(claim, receipt)]
            assert not guilty, (claim, guilty[0])

    @invariant()
    def totals_add_up_in_each_generation(self) -> None:
        last: dict[tuple[Address, int], Receipt] = {}
        for receipt in self.signed_receipts:
            before = last.get((receipt.lane, receipt.generation))
            if before is not None:
                assert receipt.seq > before.seq
                assert receipt.cumulative == before.cumulative + receipt.charge
            last[receipt.lane, receipt.generation] = receipt

    @invariant()
    def nobody_owes_more_than_was_charged(self) -> None:
        for lane, state in self.database.lanes.items():
            assert state.charged <= self.world.charged.get(lane, 0)
            assert self.world.claimed.get(lane, 0) <= self.world.charged.get(lane, 0)


RestoreMachine.TestCase.settings = RUNS
TestRestore = RestoreMachine.TestCase


class CarelessPayee(Payee):
    """Signs on from whatever database it finds."""

    def watch(self) -> None:
        """Compares nothing."""

    @property
    def signs(self) -> bool:
        return True


class CarelessMachine(RestoreMachine):
    """The same accidents without the guard."""

    def boot(self) -> None:
        self.payee = CarelessPayee(self.database, self.world, self.high_water)
        self.payee.watch()


UNSHRUNK = settings(RUNS, max_examples=300, database=None, phases=[Phase.generate])


def test_restore__without_the_guard__the_machine_convicts_an_honest_payee() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(CarelessMachine, settings=UNSHRUNK)
