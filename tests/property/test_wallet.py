"""The payer's bound on the real wallet: ceiling - verified <= E at every signature, one payment a request, any crash.

The machine is the payer *and* a payee without scruples: it serves, cheats within its signature, refuses, loses and
reorders messages, claims, changes generation. A crash closes the database and opens it again, between any two steps.
"""

import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from node.client.books import Books
from node.client.rows import Origin
from node.client.settlements import Settled, judge
from node.client.store import Wallet, open_engine
from node.client.trade import DAY_SECONDS
from node.client.verify import Delivered, Problem, check_delivery, check_receipt
from node.client.wallet import (
    ExposureReached,
    Limits,
    PayeeStopped,
    Purchase,
)
from node.core.hashing import keccak
from node.core.messages import Receipt, Terms, Voucher
from node.core.pricing import charge_of
from node.core.types import ZERO32, Address, Amount, LaneKey, Micros, Seconds, Signature, Status, TokenCount

EXPOSURE = 2_000
LIMITS = Limits(Amount(EXPOSURE), Amount(10**9), Amount(10**15))
PAYER, PAYEE, LANE, OPERATOR = (Address(bytes([n]) * 20) for n in (1, 2, 3, 4))
PROMPT = 10
SIGNATURE = Signature(bytes(65))


def b32(text: str):
    return keccak(text.encode())


WISHES = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 2_000_000)), min_size=1, max_size=5)


class Payment(RuleBasedStateMachine):
    purchases = Bundle("purchases")
    receipts = Bundle("receipts")

    @initialize()
    def open(self) -> None:
        shared_memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shared_memory if shared_memory.is_dir() else None))
        self.wallet = Wallet(open_engine(self.folder / "w.db"))
        self.now, self.generation, self.ids, self.seq = 1_800_000_000, 1, 0, 0
        self.signed: list[Voucher] = []
        self.charged: dict[int, int] = {}
        """The payee's honest running total by generation."""
        self.served: dict[bytes, Receipt] = {}
        self.cheated = False
        self.base = 0
        self.credited: dict[bytes, int] = {}
        """What the payer can honestly know it owes, by the model's own sum."""

    def teardown(self) -> None:
        if hasattr(self, "wallet"):
            self.wallet.close()
            shutil.rmtree(self.folder)

    @property
    def key(self) -> LaneKey:
        return LaneKey(PAYER, PAYEE, LANE, self.generation)

    # ------------------------------------------------------------------------------------------------ payer
    @rule(target=purchases, wishes=WISHES)
    def begin(self, wishes):
        """Several requests at once: they are in flight together."""
        return multiple(*(p for completion, price in wishes if (p := self.begin_one(completion, price)) is not None))

    def begin_one(self, completion, price):
        self.ids += 1
        terms = Terms(
            b32(f"id{self.ids}"), b32(f"body{self.ids}"), ZERO32, ZERO32, ZERO32, ZERO32,
            Amount(1_000_000), Amount(price), charge_of(TokenCount(PROMPT, completion), 1_000_000, price),
            Seconds(self.now + 120), 0, 0, 0, ZERO32,
        )  # fmt: skip
        purchase = Purchase(self.key, terms, b32("salt"), PROMPT, self.now // DAY_SECONDS)
        origin = Origin("http://node", "/v1", b32(f"body{self.ids}"), "", Seconds(self.now))
        before = self.wallet.run(lambda b: b.load_purse(self.key))
        try:
            purse = self.wallet.run(lambda b: b.begin(purchase, origin, LIMITS))
        except (ExposureReached, PayeeStopped):
            assert self.wallet.run(lambda b: b.load_purse(self.key)) == before  # a refusal changes nothing
            return None
        assert purse.ceiling >= purse.heard + purse.in_flight
        self.sign(purchase)
        return purchase

    def sign(self, purchase: Purchase) -> None:
        """Persisted first: what is signed is what a reload shows."""
        key = purchase.key
        purse = self.wallet.run(lambda b: b.load_purse(key))
        if not purse.stopped:
            self.signed.append(
                Voucher(PAYER, PAYEE, key.generation, purse.ceiling, purchase.terms.struct_hash()),
            )

    @rule(purchase=purchases)
    def send_again(self, purchase) -> None:
        """A retry under the same id: the terms are the same, the ceiling whatever is durable now."""
        held = self.wallet.run(lambda b: b.load_purchase(purchase.key, purchase.request_id))
        assert held.purchase.terms == purchase.terms
        if held.receipt is None:
            self.sign(purchase)

    @rule(more=st.integers(0, 5_000))
    def raise_ceiling(self, more) -> None:
        """A payee's 402 may ask for anything."""
        purse = self.wallet.run(lambda b: b.load_purse(self.key))
        try:
            self.wallet.run(lambda b: b.raise_ceiling(self.key, Amount(purse.ceiling + more), LIMITS))
        except (ExposureReached, PayeeStopped):
            return
        self.signed.append(Voucher(PAYER, PAYEE, self.generation, purse.ceiling + more, ZERO32))

    @rule()
    def raise_to_the_last_unit(self) -> None:
        """Exactly the exposure may be signed, and not one unit more."""
        owed = sum(self.credited.values())
        if self.cheated:
            return
        with pytest.raises(ExposureReached):
            self.wallet.run(lambda b: b.raise_ceiling(self.key, Amount(owed + EXPOSURE + 1), LIMITS))
        self.wallet.run(lambda b: b.raise_ceiling(self.key, Amount(owed + EXPOSURE), LIMITS))
        self.signed.append(Voucher(PAYER, PAYEE, self.generation, Amount(owed + EXPOSURE), ZERO32))

    @rule()
    def crash(self) -> None:
        self.wallet.close()
        self.wallet = Wallet(open_engine(self.folder / "w.db"))

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds) -> None:
        self.now += seconds
        self.wallet.run(lambda b: b.drop_stale(Seconds(self.now), ()))

    @rule(purchase=consumes(purchases))
    def is_refused(self, purchase) -> None:
        if purchase.request_id not in self.served:
            self.wallet.run(lambda b: b.refuse(purchase))

    # ------------------------------------------------------------------------------------------------ payee
    @rule(
        target=receipts,
        purchase=purchases,
        completion=st.integers(0, 120),
        status=st.sampled_from(Status),
        lie=st.sampled_from([0, 0, 0, 0, 0, 1, 2, 3]),
    )
    def serve(self, purchase, completion, status, lie):
        """Close a request, honestly or with a receipt that says more than was delivered."""
        item = self.serve_one(purchase, completion, status, lie)
        return multiple() if item is None else item

    def serve_one(self, purchase, completion, status, lie):
        if purchase.request_id in self.served or purchase.key.generation not in (self.generation, self.generation - 1):
            return None
        terms = purchase.terms
        claimed = TokenCount(PROMPT, completion + (lie == 1))
        charge = min(charge_of(claimed, terms.price_prompt, terms.price_completion), terms.max_price) + (lie == 2)
        charge = 0 if status == Status.FAILED and lie != 3 else charge
        total = self.charged.get(purchase.key.generation, self.base) + charge
        self.charged[purchase.key.generation] = total
        self.seq += 5
        receipt = Receipt(
            PAYER, PAYEE, LANE, purchase.key.generation, Micros(self.now * 10**6 + self.seq), terms.request_id,
            terms.struct_hash(), terms.request_hash, b32("answer"), ZERO32, PROMPT, claimed.completion, status,
            Amount(charge), Amount(total),
        )  # fmt: skip
        self.served[purchase.request_id] = receipt
        return (purchase, receipt, completion)

    @rule(
        target=receipts,
        purchase=purchases,
        completion=st.integers(0, 120),
        seen=st.floats(0, 1),
        whole=st.booleans(),
        left=st.booleans(),
    )
    def serve_and_receive(self, purchase, completion, seen, whole, left):
        """The ordinary course of things."""
        item = self.serve_one(purchase, completion, Status.COMPLETE if whole else Status.CANCELLED, 0)
        if item is None:
            return multiple()
        self.receive_one(item, seen, whole, left)
        return item

    @rule(item=receipts, seen=st.floats(0, 1), whole=st.booleans(), left=st.booleans())
    def receive(self, item, seen, whole, left) -> None:
        """Any receipt, any number of times, in any order, with all or a part of its answer."""
        self.receive_one(item, seen, whole, left)

    def receive_one(self, item, seen, whole, left) -> None:
        purchase, receipt, completion = item
        got = Delivered(completion if whole else int(completion * seen), b32("answer") if whole else None, whole, left)
        before = self.wallet.run(lambda b: b.load_purse(purchase.key))
        try:
            check_receipt(receipt, OPERATOR, OPERATOR, purchase)
            credit = check_delivery(receipt, purchase, got)
            self.wallet.run(lambda b: b.book(purchase, receipt, SIGNATURE, credit, Seconds(self.now)))
            self.credited[purchase.request_id] = max(
                self.credited.get(purchase.request_id, 0), self.owed(purchase, receipt, got)
            )
        except Problem as exc:
            self.cheated = True
            assert self.wallet.run(lambda b: b.load_purse(purchase.key)) == before
            self.wallet.run(partial(Books.stop, key=purchase.key, problem=exc, evidence={}, now=Seconds(self.now)))

    @staticmethod
    def owed(purchase, receipt, got) -> int:
        """The billing table once more, from what came."""
        if got.is_whole:
            return receipt.charge
        if not got.completion_tokens and not got.hung_up:
            return 0
        allowed = got.completion_tokens + (256 if got.hung_up else 0)
        millionths = PROMPT * 1_000_000 + min(receipt.completion_tokens, allowed) * purchase.terms.price_completion
        return min(receipt.charge, -(-millionths // 1_000_000))

    @rule(item=receipts)
    def forge_second(self, item) -> None:
        """Another receipt for a request that has one already."""
        purchase, receipt, _ = item
        held = self.wallet.run(lambda b: b.load_purchase(purchase.key, purchase.request_id))
        if held.receipt is None:
            return
        other = replace(receipt, seq=receipt.seq + 1, cumulative=receipt.cumulative + 1)
        with pytest.raises(Problem, match="second_receipt"):
            self.wallet.run(lambda b: b.book(purchase, other, SIGNATURE, Amount(0), Seconds(self.now)))

    @rule(extra=st.integers(0, 3_000))
    def settle(self, extra) -> None:
        """The payee claims: never above a signed ceiling, the escrow sees to that."""
        ceiling = max((v.ceiling for v in self.signed if v.generation == self.generation), default=0)
        total = min(self.charged.get(self.generation, self.base) + extra, ceiling)
        self.seq += 1
        settled = Settled(
            b32(f"tx{self.seq}"), 0, 1, self.key, Micros(self.now * 10**6 + self.seq), Amount(total), Amount(total),
            Amount(total), 1, ZERO32,
        )  # fmt: skip
        self.wallet.run(lambda b: judge(b, settled, Seconds(self.now)))

    @precondition(lambda self: self.generation < 4)
    @rule()
    def bump(self) -> None:
        """The payee opens a new generation; its base is what it had charged."""
        self.base = self.charged.get(self.generation, self.base)
        self.generation += 1

    # ------------------------------------------------------------------------------------------------ what must hold
    @invariant()
    def bounds_hold(self) -> None:
        if hasattr(self, "wallet"):
            self.wallet.run(self.check)

    def check(self, books: Books) -> None:
        """One look at the books: the exposure, the sums, and that a stopped payee stays stopped."""
        purses, opened = books.load_purses(), books.load_open()
        owed = sum(self.credited.values())
        best = max((voucher.ceiling for voucher in self.signed), default=0)
        assert best - owed <= EXPOSURE  # whatever was ever signed, in any generation
        assert books.load_purse(self.key).verified == owed
        for purse in purses:
            assert 0 <= purse.verified <= purse.explained
            assert purse.ceiling - purse.verified <= EXPOSURE
            assert purse.in_flight == sum(h.purchase.max_price for h in opened if h.purchase.key == purse.key)
            booked = [books.load_purchase(purse.key, i) for i, r in self.served.items() if r.key == purse.key]
            assert purse.explained == purse.base + sum(held.receipt.charge for held in booked if held and held.receipt)
        assert not self.cheated or books.load_purse(self.key).stopped


def test_late_recount__of_a_generation_that_has_a_successor__counts_in_both():
    course = Payment()
    course.open()
    first = course.begin_one(1, 0)
    course.bump()
    course.begin_one(1, 0)
    item = course.serve_one(first, 0, Status.CANCELLED, 0)
    course.receive_one(item, 0.0, False, False)
    course.receive_one(item, 0.0, True, False)
    course.bounds_hold()
    assert course.wallet.run(lambda b: b.load_purse(course.key)).verified == PROMPT
    course.teardown()


Payment.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # explaining traces every line of SQLAlchemy
)
# To hypothesis a time-out's signal in mid-step looks like a flaky definition: a busy machine gets its time.
TestPayment = pytest.mark.timeout(900)(Payment.TestCase)
