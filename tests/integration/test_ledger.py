"""The Ledger port on both databases: admission, closing, refusals, idempotency, leases."""

import asyncio
from dataclasses import replace

import pytest

from node.core.errors import (
    Broken,
    CeilingTooLow,
    CoverTooLow,
    LaneFrozen,
    LedgerUnavailable,
    StaleGeneration,
    WrongSignature,
)
from node.core.types import Address, Amount, LaneKey, Seconds, Status
from node.ports.ledger import Stored
from tests.factories import PAYEE, PAYER, request_id
from tests.ledgers import OWN, SIGNATURE, FakeClock, fresh_ledger, micros, opened, outcome, seed_pair, seed_signer, wish

OTHER = Address(b"\x0a" * 20)


async def test_admit__first_request__is_reserved_whole(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        admission = wish(1, lease)
        assert await ledger.admit(admission) is None
        assert await ledger.load_request(PAYER, PAYER, request_id(1)) == Stored(admission)
        lane, pair = await ledger.load_lane(OWN), await ledger.load_pair(PAYER, PAYEE)
        assert lane is not None
        assert (lane.reserved, lane.best, lane.charged, lane.count) == (100, 1_000_000, 0, 0)
        assert pair is not None
        assert (pair.cover, pair.committed) == (1_000_000, 100)


async def test_close__charge_below_reservation__gives_receipt_and_releases_the_rest(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        admission = wish(1, lease)
        await ledger.admit(admission)
        receipt = await ledger.close(admission, outcome(7), micros())
        assert (receipt.charge, receipt.cumulative, receipt.seq, receipt.key) == (7, 7, micros(), OWN)
        lane, pair = await ledger.load_lane(OWN), await ledger.load_pair(PAYER, PAYEE)
        assert lane is not None
        assert (lane.reserved, lane.charged, lane.count, lane.seq) == (0, 7, 1, micros())
        assert pair is not None
        assert pair.committed == 7
        assert await ledger.load_request(PAYER, PAYER, request_id(1)) == Stored(admission, receipt)


async def test_close__twice_with_other_outcomes__returns_the_first_receipt(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        admission = wish(1, lease)
        await ledger.admit(admission)
        closes = [ledger.close(admission, outcome(charge), micros(charge)) for charge in (7, 9, 11)]
        receipts = await asyncio.gather(*closes)
        assert {receipt.charge for receipt in receipts} == {7}
        assert await ledger.close(admission, outcome(50), micros(50)) == receipts[0]


async def test_close__never_admitted__is_broken_and_writes_nothing(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        with pytest.raises(Broken):
            await ledger.close(wish(1, lease), outcome(7), micros())
        assert await ledger.load_lane(OWN) is None


async def test_close__charge_above_reservation__is_broken_and_the_reservation_stays(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        admission = wish(1, lease)
        await ledger.admit(admission)
        with pytest.raises(Broken):
            await ledger.close(admission, outcome(101), micros())
        lane = await ledger.load_lane(OWN)
        assert lane is not None
        assert (lane.reserved, lane.charged) == (100, 0)


async def test_admit__known_id__returns_it_open_then_closed_and_reserves_nothing(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        admission = wish(1, lease)
        results = await asyncio.gather(ledger.admit(admission), ledger.admit(admission))
        assert sorted(results, key=repr) == sorted([None, Stored(admission)], key=repr)
        assert await ledger.admit(wish(1, lease, ceiling=2_000_000)) == Stored(admission)
        receipt = await ledger.close(admission, outcome(7), micros())
        await ledger.keep_signature(receipt, SIGNATURE)
        await asyncio.sleep(0.3)
        assert await ledger.admit(admission) == Stored(admission, receipt, SIGNATURE)
        lane = await ledger.load_lane(OWN)
        assert lane is not None
        assert (lane.reserved, lane.best) == (0, 1_000_000)


async def test_admit__many_at_once__never_exceed_ceiling_nor_cover(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url, cover=2_500) as (ledger, lease):
        wishes = [ledger.admit(wish(number, lease, ceiling=2_000)) for number in range(40)]
        results = await asyncio.gather(*wishes, return_exceptions=True)
        assert results.count(None) == 20
        assert sum(isinstance(result, CeilingTooLow) for result in results) == 20
        more = [ledger.admit(wish(number, lease, ceiling=9_000)) for number in range(100, 110)]
        results = await asyncio.gather(*more, return_exceptions=True)
        assert results.count(None) == 5
        assert sum(isinstance(result, CoverTooLow) for result in results) == 5


async def test_admit__pair_unknown__is_cover_too_low(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        key = LaneKey(OTHER, PAYEE, OTHER, 1)
        with pytest.raises(CoverTooLow):
            await ledger.admit(wish(1, lease, key=key))
        assert await ledger.load_lane(key) is None


async def test_admit__other_generation__is_stale(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        with pytest.raises(StaleGeneration) as caught:
            await ledger.admit(wish(1, lease, key=replace(OWN, generation=2)))
        assert caught.value.facts["generation"] == 1


async def test_admit__signer_unknown_foreign_or_thawing__is_wrong_signature(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        seed_signer(ledger_url, Address(b"\x01" * 20), OTHER, 10)
        seed_signer(ledger_url, Address(b"\x02" * 20), PAYER, 10, is_live=0)
        for lane in (b"\x00" * 20, b"\x01" * 20, b"\x02" * 20):
            with pytest.raises(WrongSignature):
                await ledger.admit(wish(1, lease, key=replace(OWN, lane=Address(lane))))


async def test_admit__further_signer__is_limited_by_its_cap(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        key = replace(OWN, lane=OTHER)
        seed_signer(ledger_url, OTHER, PAYER, 150)
        assert await ledger.admit(wish(1, lease, key=key)) is None
        with pytest.raises(CeilingTooLow) as caught:
            await ledger.admit(wish(2, lease, key=key))
        assert caught.value.facts["cap"] == 150
        await ledger.close(wish(1, lease, key=key), outcome(50), micros())
        assert await ledger.admit(wish(2, lease, key=key)) is None


async def test_admit__same_id_in_two_lanes__are_two_requests(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        seed_signer(ledger_url, OTHER, PAYER, 10**6)
        assert await ledger.admit(wish(1, lease)) is None
        assert await ledger.admit(wish(1, lease, key=replace(OWN, lane=OTHER))) is None


async def test_admit__amounts_of_two_to_the_127__are_exact(ledger_url: str) -> None:
    big = 2**127
    async with fresh_ledger(ledger_url, cover=2**128 - 1) as (ledger, lease):
        admission = wish(1, lease, ceiling=2**128 - 1, price=big)
        assert await ledger.admit(admission) is None
        receipt = await ledger.close(admission, outcome(big - 1), micros())
        assert receipt.cumulative == big - 1
        stored = await ledger.load_request(PAYER, PAYER, request_id(1))
        assert stored == Stored(admission, receipt)
        assert await ledger.admit(wish(2, lease, ceiling=2**128 - 1, price=big)) is None


async def test_load_receipts__pages__come_in_order_with_signatures(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        receipts = []
        for number in range(5):
            await ledger.admit(wish(number, lease))
            receipts.append(await ledger.close(wish(number, lease), outcome(number), micros()))
        for receipt in receipts:
            await ledger.keep_signature(receipt, SIGNATURE)
        await ledger.admit(wish(9, lease))
        await asyncio.sleep(0.1)
        first = await ledger.load_receipts(OWN, micros(-1), 3)
        assert [stored.receipt for stored in first] == receipts[:3]
        rest = await ledger.load_receipts(OWN, receipts[2].seq, 10)
        assert [stored.receipt for stored in rest] == receipts[3:]
        assert {stored.signature for stored in [*first, *rest]} == {SIGNATURE}


async def test_keep_signature__of_an_unknown_or_signed_receipt__changes_nothing(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        receipt = await ledger.close(wish(1, lease), outcome(1), micros())
        await ledger.keep_signature(replace(receipt, request_id=request_id(77)), SIGNATURE)
        await ledger.keep_signature(receipt, SIGNATURE)
        await ledger.keep_signature(receipt, b"\x08" * 64 + b"\x1c")
    async with opened(ledger_url) as again:  # closing has written all three
        stored = await again.load_request(PAYER, PAYER, request_id(1))
        assert stored is not None
        assert stored.signature == SIGNATURE


async def test_stop__signatures_waiting__are_written_first(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        receipt = await ledger.close(wish(1, lease), outcome(1), micros())
        await ledger.keep_signature(receipt, SIGNATURE)
    async with opened(ledger_url) as again:
        stored = await again.load_request(PAYER, PAYER, request_id(1))
        assert stored is not None
        assert stored.signature == SIGNATURE


async def test_reopened_ledger__open_request__is_abandoned_only_when_its_lease_has_expired(ledger_url: str) -> None:
    clock = FakeClock()
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
    async with opened(ledger_url, clock) as again:
        assert await again.load_abandoned() == []
        clock.wall += 60
        mine = await again.take_lease(Seconds(60))
        assert mine > lease
        await again.admit(wish(2, mine))
        abandoned = await again.load_abandoned()
        assert abandoned == [wish(1, lease)]
        receipt = await again.close(abandoned[0], outcome(0, Status.FAILED), micros())
        assert (receipt.charge, receipt.status) == (0, Status.FAILED)
        assert await again.load_abandoned() == []


async def test_lease__expired__admits_nothing_and_is_not_renewed(ledger_url: str) -> None:
    clock = FakeClock()
    async with fresh_ledger(ledger_url), opened(ledger_url, clock) as ledger:
        lease = await ledger.take_lease(Seconds(10))
        clock.wall += 9
        assert await ledger.renew_lease(lease, Seconds(10))
        clock.wall += 10
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(wish(1, lease))
        assert not await ledger.renew_lease(lease, Seconds(10))
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(wish(1, lease))
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(wish(1, 999))


async def test_new_generation__lane_with_history__is_frozen_until_reopened(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        _set_generation(ledger_url, 2)
        key = replace(OWN, generation=2)
        with pytest.raises(LaneFrozen):
            await ledger.admit(wish(2, lease, key=key))
        with pytest.raises(LaneFrozen):
            await ledger.reopen_lane(key, Amount(0))
        await ledger.close(wish(1, lease), outcome(40), micros())
        frozen = await ledger.load_lane(key)
        assert frozen is not None
        assert frozen.is_frozen
        assert frozen.charged == 40
        lane = await ledger.reopen_lane(key, Amount(30))
        assert (lane.base, lane.charged, lane.is_frozen) == (40, 40, False)
        assert await ledger.reopen_lane(key, Amount(90)) == lane
        await ledger.admit(wish(2, lease, key=key))
        receipt = await ledger.close(wish(2, lease, key=key), outcome(5), micros())
        assert receipt.cumulative == 45
        pair = await ledger.load_pair(PAYER, PAYEE)
        assert pair is not None
        assert pair.committed == 45


async def test_freeze_lanes__present_accounts__admit_nothing_more(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        assert await ledger.freeze_lanes(PAYEE) == 1
        with pytest.raises(LaneFrozen):
            await ledger.admit(wish(2, lease))


async def test_cancelled_caller__its_close__is_written_all_the_same(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        await ledger.admit(wish(1, lease))
        task = asyncio.ensure_future(ledger.close(wish(1, lease), outcome(7), micros()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        receipt = await ledger.close(wish(1, lease), outcome(9), micros())
        assert receipt.charge == 7


@pytest.mark.parametrize(
    "poison",
    [{"signature": b"too short"}, {"received_at": 2**70}, {"salt": None}],
    ids=["a CHECK fails", "an integer overflows", "a NULL"],
)
async def test_group__one_row_impossible__it_alone_fails_and_its_neighbours_are_written(
    ledger_url: str,
    poison: dict[str, object],
) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        wishes = [wish(number, lease) for number in range(40)]
        wishes[17] = replace(wishes[17], **poison)
        results = await asyncio.gather(*(ledger.admit(one) for one in wishes), return_exceptions=True)
        assert [number for number, result in enumerate(results) if result is not None] == [17]
        assert isinstance(results[17], Broken)
        lane = await ledger.load_lane(OWN)
        assert lane is not None
        assert lane.reserved == 39 * 100
        assert await ledger.admit(wish(17, lease)) is None


async def test_load_best_voucher__several_ceilings__is_the_highest(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        assert await ledger.load_best_voucher(OWN) is None
        for number, ceiling in enumerate((500, 900, 700)):
            await ledger.admit(wish(number, lease, ceiling=ceiling))
        best = wish(1, lease, ceiling=900)
        assert await ledger.load_best_voucher(OWN) == (best.voucher, best.signature)


async def test_load_receipts_from__leaf_index__is_the_order_of_seq(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url) as (ledger, lease):
        for number in (3, 1, 2):
            await ledger.admit(wish(number, lease))
            await ledger.close(wish(number, lease), outcome(number), micros())
        page = await ledger.load_receipts_from(OWN, 1, 5)
        assert [stored.receipt.charge for stored in page if stored.receipt] == [1, 2]
        assert await ledger.load_receipts_from(OWN, 3, 5) == []


async def test_two_ledgers_on_one_database__racing__keep_one_total(ledger_url: str) -> None:
    async with fresh_ledger(ledger_url, cover=3_000) as (ledger, lease), opened(ledger_url) as other:
        theirs = await other.take_lease(Seconds(60))
        wishes = [ledger.admit(wish(number, lease)) for number in range(25)]
        wishes += [other.admit(wish(number, theirs)) for number in range(12, 37)]
        results = await asyncio.gather(*wishes, return_exceptions=True)
        assert results.count(None) == 30
        pair = await ledger.load_pair(PAYER, PAYEE)
        assert pair is not None
        assert pair.committed == 3_000


def _set_generation(url: str, generation: int) -> None:
    from sqlalchemy import update

    from node.adapters.ledger.chain_tables import payee_state
    from node.adapters.ledger.schema import for_writing, open_engine

    engine = open_engine(url)
    with for_writing(engine).begin() as connection:
        connection.execute(update(payee_state).values(generation=generation, head_generation=generation))
    engine.dispose()


__all__ = ["seed_pair"]
