"""One hypothesis state machine over the account: the same rules drive the pure core and the real SQLite ledger.

A `Ground` applies moves; the machine keeps its own naive model of the money (dictionaries and sums) and compares
after every step: INV3 (never above the best ceiling), INV12 (base + sum of charges = cumulative), the pair inequality
of rule 2.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.core import account
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.errors import Broken, CeilingTooLow, CoverTooLow
from node.core.messages import Receipt
from node.core.types import Address, Amount, LaneKey, Micros
from tests.factories import PAYEE, PAYER
from tests.ledgers import micros, outcome, wish

LANES = tuple(LaneKey(PAYER, PAYEE, lane, 1) for lane in (PAYER, Address(b"\x0a" * 20), Address(b"\x0b" * 20)))
CAPS = {LANES[0].lane: 2**128 - 1, LANES[1].lane: 700, LANES[2].lane: 2**127}
amounts = st.one_of(st.integers(0, 400), st.sampled_from([2**127, 2**127 - 1, 2**64]))


class Ground(Protocol):
    """What the machine stands on."""

    def admit(self, admission: Admission) -> object: ...

    def close(self, admission: Admission, ending: Outcome, now: Micros) -> Receipt: ...

    def settle(self, key: LaneKey, claimed: int) -> None: ...

    def allot(self, cover: int) -> None: ...

    def restart(self) -> None: ...

    def lane(self, key: LaneKey) -> LaneState | None: ...

    def pair(self) -> PairState: ...

    def shut(self) -> None: ...


@dataclass
class CoreGround:
    """Dictionaries over core.account."""

    lanes: dict[LaneKey, LaneState] = field(default_factory=dict)
    state: PairState = field(default_factory=lambda: PairState(PAYER, PAYEE))
    done: dict[tuple[LaneKey, bytes], tuple[Admission, Receipt | None]] = field(default_factory=dict)

    def admit(self, admission: Admission) -> object:
        request = (admission.key, admission.request_id)
        if request in self.done:
            return self.done[request]
        fresh = LaneState(admission.key, cap=Amount(CAPS[admission.key.lane]))
        before = self.lanes.get(admission.key, fresh)
        self.lanes[admission.key], self.state = account.admit(before, self.state, admission)
        self.done[request] = (admission, None)
        return None

    def close(self, admission: Admission, ending: Outcome, now: Micros) -> Receipt:
        request = (admission.key, admission.request_id)
        known = self.done[request][1]
        if known is not None:
            return known
        closed = account.close(self.lanes[admission.key], self.state, admission, ending, now)
        self.lanes[admission.key], self.state, receipt = closed
        self.done[request] = (admission, receipt)
        return receipt

    def settle(self, key: LaneKey, claimed: int) -> None:
        before = self.lanes[key]
        after = replace(before, claimed=Amount(claimed))
        self.lanes[key] = after
        self.state = replace(self.state, committed=self.state.committed - before.committed + after.committed)

    def allot(self, cover: int) -> None:
        self.state = replace(self.state, cover=Amount(cover))

    def restart(self) -> None:
        """Nothing is lost, for nothing is kept elsewhere."""

    def lane(self, key: LaneKey) -> LaneState | None:
        return self.lanes.get(key)

    def pair(self) -> PairState:
        return self.state

    def shut(self) -> None:
        """Nothing is open."""


class AccountMachine(RuleBasedStateMachine):
    """The rules. Subclasses say in `make_ground` what they stand on."""

    def make_ground(self) -> Ground:
        raise NotImplementedError

    @initialize(cover=st.one_of(st.integers(0, 2_000), st.just(2**128 - 1)))
    def begin(self, cover: int) -> None:
        self.ground = self.make_ground()
        self.cover = cover
        self.ground.allot(cover)
        self.clock = 0
        self.number = 0
        self.open: list[Admission] = []
        self.receipts: list[Receipt] = []
        self.best = dict.fromkeys(LANES, 0)
        self.claimed = dict.fromkeys(LANES, 0)

    def charged(self, key: LaneKey) -> int:
        return sum(receipt.charge for receipt in self.receipts if receipt.key == key)

    def reserved(self, key: LaneKey) -> int:
        return sum(admission.terms.max_price for admission in self.open if admission.key == key)

    def committed(self) -> int:
        return sum(max(self.charged(key), self.claimed[key]) + self.reserved(key) for key in LANES)

    @rule(key=st.sampled_from(LANES), ceiling=amounts, price=amounts)
    def admit(self, key: LaneKey, ceiling: int, price: int) -> None:
        self.number += 1
        admission = wish(self.number, 1, key=key, ceiling=ceiling, price=price)
        best = max(self.best[key], ceiling)
        has_room = self.charged(key) + self.reserved(key) + price <= min(best, CAPS[key.lane])
        has_cover = self.committed() + price <= self.cover
        try:
            known = self.ground.admit(admission)
        except CeilingTooLow:
            assert not has_room
        except CoverTooLow:
            assert has_room
            assert not has_cover
        else:
            assert known is None
            assert has_room
            assert has_cover
            self.best[key] = best
            self.open.append(admission)

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 50))
    def repeat_admission(self, pick: int) -> None:
        admission = self.open[pick % len(self.open)]
        assert self.ground.admit(admission) is not None

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 50), part=st.integers(0, 100), step=st.integers(-5, 5))
    def close(self, pick: int, part: int, step: int) -> None:
        admission = self.open.pop(pick % len(self.open))
        self.clock += step
        charge = admission.terms.max_price * part // 100
        before = self.charged(admission.key)
        receipt = self.ground.close(admission, outcome(charge), micros(self.clock))
        assert receipt.charge == charge
        assert receipt.cumulative == before + charge
        earlier = [one.seq for one in self.receipts if one.key == receipt.key]
        assert all(seq < receipt.seq for seq in earlier)
        self.receipts.append(receipt)
        assert self.ground.close(admission, outcome(0), micros(self.clock + 1)) == receipt

    @precondition(lambda self: self.open)
    @rule(pick=st.integers(0, 50), over=st.integers(1, 5))
    def overcharge(self, pick: int, over: int) -> None:
        admission = self.open[pick % len(self.open)]
        charge = admission.terms.max_price + over
        with pytest.raises(Broken):
            self.ground.close(admission, outcome(charge), micros(self.clock))

    @precondition(lambda self: self.receipts)
    @rule(pick=st.integers(0, 50), extra=st.integers(0, 60))
    def settle(self, pick: int, extra: int) -> None:
        """The escrow may even have paid more than these books know (an old backup)."""
        key = self.receipts[pick % len(self.receipts)].key
        if self.committed() + extra >= 2**128:
            return
        self.claimed[key] = max(self.claimed[key], self.charged(key) + extra)
        self.ground.settle(key, self.claimed[key])

    @rule(cover=st.integers(0, 3_000))
    def allot(self, cover: int) -> None:
        self.cover = cover
        self.ground.allot(cover)

    @rule()
    def restart(self) -> None:
        self.ground.restart()

    @invariant()
    def totals_equal_the_rows(self) -> None:
        if not hasattr(self, "ground"):
            return
        assert self.ground.pair().committed == self.committed()
        for key in LANES:
            lane = self.ground.lane(key)
            if lane is None:
                assert not self.charged(key)
                continue
            assert (lane.charged, lane.reserved) == (self.charged(key), self.reserved(key))
            assert lane.best == self.best[key]
            assert lane.charged + lane.reserved <= min(lane.best, lane.cap)
            assert lane.count == sum(receipt.key == key for receipt in self.receipts)

    def teardown(self) -> None:
        if hasattr(self, "ground"):
            self.ground.shut()
