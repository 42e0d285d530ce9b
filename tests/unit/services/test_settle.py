"""services.settle: which claims are made, over which receipts, and what is left alone."""

from dataclasses import replace

from node.adapters.keys import LocalSigner, Secret, recover
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Receipt
from node.core.settlement import DueLane, Trigger
from node.core.transactions import ClaimPreview, Fees, TxState
from node.core.types import ZERO_ADDRESS, Address, Amount, LaneKey, Micros, Seconds, Signature
from node.services.sender import Sender
from node.services.settle import SettlePolicy, Settler
from node.services.settle_now import settle_now
from tests.factories import DOMAIN, NOW, PAYEE, make_receipt, make_voucher
from tests.fakes.chain_books import MemoryOutbox, MemorySettlementBook
from tests.fakes.scripted_chain import ScriptedChain

OPERATOR = LocalSigner(Secret(b"\x05" * 32))
GAS_KEY = LocalSigner(Secret(b"\x07" * 32))


class FixedClock:
    def __init__(self) -> None:
        self.ticks = 0.0

    def now(self) -> float:
        return float(NOW)

    def monotonic(self) -> float:
        self.ticks += 0.1
        return self.ticks


class Bench:
    def __init__(self) -> None:
        self.chain, self.outbox, self.clock = ScriptedChain(), MemoryOutbox(), FixedClock()
        self.book = MemorySettlementBook(self.outbox)
        self.operators = {1: OPERATOR.address}

    def settler(self, currency_per_native: int = 0, threshold: int = 0) -> Settler:
        policy = SettlePolicy(Amount(currency_per_native), Amount(threshold))
        return Settler(
            self.chain,
            self.book,
            OPERATOR,
            self.clock,
            DOMAIN,
            PAYEE,
            sender=GAS_KEY.address,
            policy=policy,
            operator_of=lambda generation: self.operators.get(generation, ZERO_ADDRESS),
        )

    def add_lane(self, number: int, charges: list[int], claimed: int = 0, thaw_end: int = 0) -> DueLane:
        payer = Address(bytes([number]) * 20)
        key = LaneKey(payer, PAYEE, payer, 1)
        self.book.receipts[key] = receipts = receipts_of(key, charges)
        lane = DueLane(
            key=key,
            charged=receipts[-1].cumulative,
            claimed=Amount(claimed),
            seq=receipts[-1].seq,
            count=len(receipts),
            since=NOW,
            thaw_end=Seconds(thaw_end),
            cap=Amount(10**12),
            voucher=make_voucher(payer=payer, generation=1, ceiling=Amount(10**9)),
            voucher_signature=Signature(bytes(65)),
        )
        self.book.due.append(lane)
        return lane


def receipts_of(key: LaneKey, charges: list[int]) -> list[Receipt]:
    return [
        make_receipt(
            payer=key.payer,
            lane=key.lane,
            generation=key.generation,
            seq=Micros(n + 1),
            charge=Amount(charge),
            cumulative=Amount(sum(charges[: n + 1])),
        )
        for n, charge in enumerate(charges)
    ]


async def test_settle__due_lanes__one_transaction_with_signed_claims_over_all_receipts() -> None:
    bench = Bench()
    lanes = [bench.add_lane(n, [5, 7, 11]) for n in (1, 2)]
    done = await bench.settler().settle()
    assert (len(done.outbox_ids), done.lanes) == (1, 2)
    row = bench.book.claims[0]
    leaves = [leaf_hash(receipt.struct_hash()) for receipt in bench.book.receipts[lanes[0].key]]
    assert (row.claim.receipts_root, row.claim.count) == (Peaks().extend(leaves).root, 3)
    assert (row.claim.cumulative, row.claim.seq) == (23, 3)
    assert recover(DOMAIN.digest(row.claim.struct_hash()), row.signature) == OPERATOR.address
    assert bench.outbox.rows[1].wish.sender == GAS_KEY.address


async def test_settle__second_time__extends_the_first_tree() -> None:
    bench = Bench()
    lane = bench.add_lane(1, [5, 7])
    await bench.settler().settle()
    bench.book.receipts[lane.key] = receipts_of(lane.key, [5, 7, 11, 13])
    bench.book.due = [replace(lane, charged=Amount(36), claimed=Amount(12), seq=Micros(4), count=4)]
    await bench.settler().settle()
    leaves = [leaf_hash(receipt.struct_hash()) for receipt in bench.book.receipts[lane.key]]
    assert bench.book.claims[-1].claim.receipts_root == Peaks().extend(leaves).root


async def test_settle__receipts_made_meanwhile__wait_for_the_next_claim() -> None:
    bench = Bench()
    lane = bench.add_lane(1, [5, 7, 11])
    bench.book.due = [replace(lane, charged=Amount(12), seq=Micros(2), count=2)]
    await bench.settler().settle()
    assert (bench.book.claims[0].claim.cumulative, bench.book.claims[0].claim.count) == (12, 2)


async def test_settle__again_while_the_first_is_open__wants_nothing_more() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    first = await bench.settler().settle()
    second = await bench.settler().settle()
    assert (len(first.outbox_ids), second.outbox_ids) == (1, ())


async def test_settle__first_transaction_failed__the_same_claim_may_go_again() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    await bench.settler().settle()
    await bench.outbox.save_state(bench.outbox.rows[1], TxState.REVERTED)
    assert (await bench.settler().settle()).outbox_ids == (2,)
    assert len(bench.book.claims) == 1


async def test_settle__row_the_escrow_would_not_pay__is_left_out_and_named() -> None:
    bench = Bench()
    good, bad = bench.add_lane(1, [5]), bench.add_lane(2, [6])
    await bench.settler().settle()
    bad_hash = next(row.claim.struct_hash() for row in bench.book.claims if row.claim.payer == bad.key.payer)
    bench = Bench()
    good, bad = bench.add_lane(1, [5]), bench.add_lane(2, [6])
    bench.chain.previews[bad_hash] = ClaimPreview("NoCover", Amount(0))
    done = await bench.settler().settle()
    assert [row.claim.payer for row in bench.book.claims] == [good.key.payer]
    assert done.skipped == ((bad, "NoCover"),)


async def test_settle__receipts_do_not_add_up__that_lane_alone_is_left() -> None:
    bench = Bench()
    bad, good = bench.add_lane(1, [5, 7]), bench.add_lane(2, [6])
    bench.book.receipts[bad.key].pop(0)
    done = await bench.settler().settle()
    assert [row.claim.payer for row in bench.book.claims] == [good.key.payer]
    assert done.skipped[0][0] == bad


async def test_settle__gas_costs_more_than_it_brings__waits_unless_forced() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    assert (await bench.settler(currency_per_native=10**9).settle()).outbox_ids == ()
    assert (await bench.settler(currency_per_native=10**9).settle(Trigger.CATCH_UP)).outbox_ids == ()
    assert (await bench.settler(currency_per_native=10**9).settle(Trigger.FORCED)).outbox_ids == (1,)


async def test_settle__endpoint_names_an_absurd_gas_price__the_cap_decides() -> None:
    bench = Bench()
    bench.add_lane(1, [10**9])
    bench.chain.fees = Fees(base_fee=10**24, tip=0)
    assert (await bench.settler(currency_per_native=10**9).settle()).outbox_ids == (1,)


async def test_settle__a_thaw_runs__the_wish_carries_its_deadline() -> None:
    bench = Bench()
    bench.add_lane(1, [5], thaw_end=NOW + 500)
    await bench.settler().settle()
    assert bench.outbox.rows[1].wish.deadline == NOW + 500


async def test_settle__nothing_due__asks_the_chain_nothing() -> None:
    bench = Bench()
    bench.chain.is_down = True
    assert (await bench.settler().settle()).outbox_ids == ()


async def test_settle_now__chain_mines__ends_with_an_empty_backlog() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    sender = Sender(bench.chain, bench.outbox, GAS_KEY, bench.clock)
    real = bench.chain.fetch_finalised

    async def mining() -> object:
        bench.chain.mine()
        return await real()

    bench.chain.fetch_finalised = mining
    done = await settle_now(bench.settler(), sender, bench.clock, seconds=5)
    assert (done.settlement.lanes, done.backlog.unmined) == (1, 0)


async def test_settle_now__nothing_is_mined__gives_up_and_says_so() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    sender = Sender(bench.chain, bench.outbox, GAS_KEY, bench.clock)
    done = await settle_now(bench.settler(), sender, bench.clock, seconds=0.3)
    assert done.backlog.unmined == 1


async def test_settle__lane_of_a_former_operator_key__is_left_out_named_and_never_signed() -> None:
    bench = Bench()
    bench.add_lane(1, [5])
    former = bench.add_lane(2, [6])
    generation_of = {former.key: 7}
    bench.book.due = [
        replace(lane, key=replace(lane.key, generation=generation_of.get(lane.key, 1))) for lane in bench.book.due
    ]
    bench.operators[7] = GAS_KEY.address
    done = await bench.settler().settle()
    assert [row.claim.generation for row in bench.book.claims] == [1]
    ((lane, reason),) = done.skipped
    assert lane.key.generation == 7
    assert "former keystore" in reason
