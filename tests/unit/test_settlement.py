"""core.settlement and core.fees: when a lane is due (rule 8), how batches are cut, what gas is offered."""

from dataclasses import replace

import pytest

from node.core.errors import Broken
from node.core.fees import GWEI, FeePolicy, better_offer, cap_of, first_offer
from node.core.merkle import Peaks, leaf_hash
from node.core.settlement import BATCH_ROWS, DueLane, GasTerms, Tree, Trigger, deadline_of, is_due, plan
from node.core.transactions import Attempt, Fees
from node.core.types import ZERO32, Address, Amount, LaneKey, Micros, Seconds, Signature
from tests.factories import LANE, NOW, make_receipt, make_voucher

GAS = GasTerms(max_fee_per_gas=GWEI, currency_per_native=Amount(1_000_000_000), gas_per_row=50_000, threshold=Amount(0))
SHARE = 50_000


def due(unclaimed: int, thaw_end: int = 0, since: int = NOW, key: LaneKey = LANE) -> DueLane:
    return DueLane(
        key=key,
        charged=Amount(unclaimed),
        claimed=Amount(0),
        seq=Micros(1),
        count=1,
        since=Seconds(since),
        thaw_end=Seconds(thaw_end),
        cap=Amount(10**9),
        voucher=make_voucher(ceiling=Amount(10**9)),
        voucher_signature=Signature(bytes(65)),
    )


def test_gas_share__fraction_of_a_base_unit__rounds_up() -> None:
    assert GAS.share == SHARE
    assert replace(GAS, gas_per_row=1, currency_per_native=Amount(1)).share == 1
    assert replace(GAS, currency_per_native=Amount(0)).share == 0


@pytest.mark.parametrize(
    ("unclaimed", "thaw_end", "age", "trigger", "expected"),
    [
        (50 * SHARE, 0, 0, Trigger.SCHEDULED, True),
        (50 * SHARE - 1, 0, 0, Trigger.SCHEDULED, False),
        (2 * SHARE, NOW + 9, 0, Trigger.SCHEDULED, True),
        (2 * SHARE - 1, NOW + 9, 0, Trigger.SCHEDULED, False),
        (2 * SHARE, 0, 86_400, Trigger.SCHEDULED, True),
        (2 * SHARE, 0, 86_399, Trigger.SCHEDULED, False),
        (SHARE, 0, 0, Trigger.CATCH_UP, True),
        (SHARE - 1, NOW + 9, 86_400, Trigger.CATCH_UP, False),
        (1, 0, 0, Trigger.FORCED, True),
        (0, NOW + 9, 86_400, Trigger.FORCED, False),
    ],
)
def test_is_due__each_row_of_rule_8__decides(
    unclaimed: int,
    thaw_end: int,
    age: int,
    trigger: Trigger,
    expected: object,
) -> None:
    assert is_due(due(unclaimed, thaw_end, NOW - age), GAS, NOW, trigger) is expected


def test_is_due__threshold_above_gas__holds_back_scheduled_claims_alone() -> None:
    gas = replace(GAS, threshold=Amount(60 * SHARE))
    assert not is_due(due(59 * SHARE), gas, NOW, Trigger.SCHEDULED)
    assert is_due(due(59 * SHARE), gas, NOW, Trigger.CATCH_UP)


def test_is_due__charged_above_cap_or_ceiling__is_never_claimed_as_it_stands() -> None:
    lane = due(100 * SHARE)
    assert is_due(lane, GAS, NOW, Trigger.FORCED)
    assert not is_due(replace(lane, cap=Amount(100 * SHARE - 1)), GAS, NOW, Trigger.FORCED)
    low = replace(lane.voucher, ceiling=Amount(100 * SHARE - 1))
    assert not is_due(replace(lane, voucher=low), GAS, NOW, Trigger.FORCED)


def lanes(count: int, payee: bytes) -> list[DueLane]:
    keys = [LaneKey(Address(bytes([n]) * 20), Address(payee), Address(bytes([n]) * 20), 1) for n in range(count)]
    return [due(100 * SHARE + n, key=key) for n, key in enumerate(keys)]


def test_plan__more_lanes_than_a_batch__cuts_and_keeps_payees_together() -> None:
    batches = plan(lanes(60, b"\x01" * 20) + lanes(10, b"\x02" * 20), GAS, NOW, Trigger.SCHEDULED)
    assert sorted(len(batch) for batch in batches) == [10, 10, BATCH_ROWS]
    assert all(len({lane.key.payee for lane in batch}) == 1 for batch in batches)


def test_plan__a_thaw_runs__comes_first_and_sets_the_deadline() -> None:
    urgent, later, big = due(2 * SHARE, NOW + 50), due(2 * SHARE, NOW + 99), due(900 * SHARE)
    (batch,) = plan([big, later, urgent], GAS, NOW, Trigger.SCHEDULED)
    assert batch == (urgent, later, big)
    assert deadline_of(batch) == NOW + 50
    assert deadline_of([big]) == 0


def test_tree__grown_receipt_by_receipt__is_the_tree_of_all() -> None:
    receipts = [make_receipt(seq=n, charge=10, cumulative=10 * n) for n in (1, 2, 3)]
    tree = Tree().grown(receipts[:1]).grown(receipts[1:])
    assert tree.peaks == Peaks().extend(leaf_hash(receipt.struct_hash()) for receipt in receipts)
    assert (tree.cumulative, tree.seq) == (30, 3)


def test_tree__first_receipt_with_a_base__takes_it() -> None:
    assert Tree().grown([make_receipt(seq=1, charge=10, cumulative=110)]).cumulative == 110


@pytest.mark.parametrize(("seq", "charge", "cumulative"), [(2, 10, 21), (2, 9, 20), (1, 10, 20)])
def test_tree__receipt_that_does_not_add_up__stops(seq: int, charge: int, cumulative: int) -> None:
    tree = Tree().grown([make_receipt(seq=1, charge=10, cumulative=10)])
    with pytest.raises(Broken, match="do not add up"):
        tree.grown([make_receipt(seq=seq, charge=charge, cumulative=cumulative)])


def attempt(max_fee: int, tip: int) -> Attempt:
    return Attempt(ZERO32, 0, max_fee, tip, b"", NOW)


POLICY = FeePolicy(cap=100 * GWEI)


def test_first_offer__calm_market__leaves_room_for_the_base_fee() -> None:
    offer = first_offer(Fees(10 * GWEI, 2 * GWEI), POLICY, POLICY.cap)
    assert (offer.max_fee, offer.tip) == (22 * GWEI, 2 * GWEI)


def test_first_offer__endpoint_names_an_absurd_price__is_capped() -> None:
    offer = first_offer(Fees(10**30, 10**30), POLICY, POLICY.cap)
    assert (offer.max_fee, offer.tip) == (100 * GWEI, POLICY.tip_max)


def test_first_offer__endpoint_says_gas_is_free__still_tips() -> None:
    assert first_offer(Fees(0, 0), POLICY, POLICY.cap).tip == POLICY.tip_min


@pytest.mark.parametrize(("max_fee", "tip"), [(22 * GWEI, 2 * GWEI), (1, 1), (7, 3)])
def test_better_offer__stuck__raises_both_by_an_eighth_at_least(max_fee: int, tip: int) -> None:
    offer = better_offer(attempt(max_fee, tip), Fees(0, 0), POLICY, POLICY.cap)
    assert offer is not None
    assert offer.max_fee * 8 >= max_fee * 9
    assert offer.tip * 8 >= tip * 9
    assert offer.tip <= offer.max_fee


def test_better_offer__base_fee_rose__follows_it() -> None:
    offer = better_offer(attempt(10 * GWEI, GWEI), Fees(40 * GWEI, GWEI), POLICY, POLICY.cap)
    assert offer is not None
    assert offer.max_fee >= 80 * GWEI


def test_better_offer__at_the_cap__waits() -> None:
    assert better_offer(attempt(95 * GWEI, GWEI), Fees(500 * GWEI, GWEI), POLICY, POLICY.cap) is None


def test_cap_of__thaw_about_to_end__is_the_urgent_one() -> None:
    assert cap_of(POLICY, Seconds(0), NOW) == POLICY.cap
    assert cap_of(POLICY, Seconds(NOW + 7 * 3600), NOW) == POLICY.cap
    assert cap_of(POLICY, Seconds(NOW + 6 * 3600), NOW) == 10 * POLICY.cap
