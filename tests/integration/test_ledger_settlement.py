"""Settling from the books: due lanes, claims stored once, two settlers, the outbox's races; on both databases."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from node.adapters.ledger import Books, migrate
from node.adapters.ledger.queries import Filters
from node.core.errors import Broken
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Claim
from node.core.settlement import DueLane, SignedClaim
from node.core.transactions import Attempt, Call, TxReceipt, TxState, Wish
from node.core.types import Address, Amount, Bytes32, LaneKey, Seconds
from tests.factories import NOW, PAYEE, PAYER
from tests.ledgers import OWN, SIGNATURE, micros, opened_books, outcome, seed_pair, seed_signer, wish

SENDER, OTHER = Address(b"\x51" * 20), Address(b"\x0a" * 20)


def want(key: str = "settle") -> Wish:
    return Wish(key, "claim", SENDER, Call(Address(b"\xee" * 20), b"\x01\x02"), Seconds(5))


def attempt(nonce: int, tag: int = 1) -> Attempt:
    return Attempt(Bytes32(bytes([tag]) * 32), nonce, 2**70, 1, b"raw", Seconds(9))


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    migrate(ledger_url)
    seed_pair(ledger_url, 10**6)
    seed_signer(ledger_url, OTHER, PAYER, 5_000)
    async with opened_books(ledger_url) as made:
        yield made


async def serve(books: Books, lease: int, first: int, charges: list[int], key: LaneKey = OWN) -> None:
    for number, charge in enumerate(charges, first):
        await books.ledger.admit(wish(number, lease, key=key))
        await books.ledger.close(wish(number, lease, key=key), outcome(charge), micros(number * 1_000_000))


async def sign(books: Books, lane: DueLane) -> SignedClaim:
    last = await books.settlement.load_last_claim(lane.key)
    peaks = last.peaks if last else Peaks()
    more = await books.settlement.load_receipts_after(lane.key, last.claim.seq if last else micros(-1), 1000)
    peaks = peaks.extend(leaf_hash(receipt.struct_hash()) for receipt in more)
    key = lane.key
    claim = Claim(key.payer, key.payee, key.lane, key.generation, lane.seq, lane.charged, peaks.root, lane.count)
    return SignedClaim(claim, SIGNATURE, lane.voucher, lane.voucher_signature, peaks)


async def test_load_due__two_lanes__largest_first_with_all_that_a_claim_needs(books: Books) -> None:
    lease = await books.ledger.take_lease(Seconds(60))
    await serve(books, lease, 1, [5, 0, 7])
    await serve(books, lease, 50, [90], replace(OWN, lane=OTHER))
    large, small = await books.settlement.load_due(PAYEE, 10)
    assert (large.key.lane, large.charged, large.cap) == (OTHER, 90, 5_000)
    assert (small.charged, small.claimed, small.count, small.thaw_end) == (12, 0, 3, 0)
    assert small.since == NOW + 1
    assert small.voucher == wish(1, lease).voucher
    assert [lane.key.lane for lane in await books.settlement.load_due(PAYEE, 1)] == [OTHER]
    assert await books.settlement.load_due(PAYER, 10) == []


async def test_save_claims__then_more_receipts__next_claim_goes_on_from_the_peaks(books: Books) -> None:
    lease = await books.ledger.take_lease(Seconds(60))
    await serve(books, lease, 1, [5, 6, 7])
    first = await sign(books, (await books.settlement.load_due(PAYEE, 1))[0])
    row_id = await books.settlement.save_claims([first], want())
    assert row_id is not None
    assert await books.settlement.load_due(PAYEE, 1) == []
    await serve(books, lease, 9, [8, 9])
    (due,) = await books.settlement.load_due(PAYEE, 1)
    assert (due.claimed, due.unclaimed, due.since) == (18, 17, NOW + 9)
    second = await sign(books, due)
    assert second.peaks.count == second.claim.count == 5
    assert await books.settlement.load_claim_of_root(first.claim.receipts_root) == first
    assert await books.settlement.load_last_claim(OWN) == first
    assert await books.settlement.save_claims([second], want("other")) is not None
    assert await books.settlement.load_last_claim(OWN) == second
    page = await books.queries.load_claims(Filters(payer=PAYER), limit=1)
    assert [row["count"] for row in page.rows] == [3]
    assert page.next is not None
    page = await books.queries.load_claims(Filters(payer=PAYER), page.next)
    assert [(row["count"], row["cumulative"], row["lane"]) for row in page.rows] == [(5, 35, PAYER)]
    assert page.next is None
    assert await books.settlement.load_claim_of_root(Bytes32(b"\x01" * 32)) is None

    nearest = [await books.settlement.load_peaks(OWN, most) for most in (2, 3, 4, 5, 99)]
    assert nearest == [Peaks(), first.peaks, first.peaks, second.peaks, second.peaks]
    assert await books.settlement.load_peaks(replace(OWN, generation=2), 99) == Peaks()


async def test_save_claims__carried_by_an_open_transaction__is_saved_once(books: Books) -> None:
    lease = await books.ledger.take_lease(Seconds(60))
    await serve(books, lease, 1, [5])
    claim = await sign(books, (await books.settlement.load_due(PAYEE, 1))[0])
    row_id = await books.settlement.save_claims([claim], want())
    assert row_id is not None
    assert await books.settlement.save_claims([claim], want("second settler")) is None
    row = await books.outbox.load_row(row_id)
    assert row is not None
    assert await books.outbox.save_state(row, TxState.REVERTED, reason="out of gas")
    (due,) = await books.settlement.load_due(PAYEE, 1)
    assert due.claimed == 0
    again = await books.settlement.save_claims([claim], want())
    assert again not in (None, row_id)


async def test_save_claims__other_root_for_the_same_receipts__is_broken(books: Books) -> None:
    lease = await books.ledger.take_lease(Seconds(60))
    await serve(books, lease, 1, [5])
    claim = await sign(books, (await books.settlement.load_due(PAYEE, 1))[0])
    await books.settlement.save_claims([claim], want())
    forged = replace(claim, claim=replace(claim.claim, receipts_root=Bytes32(b"\x66" * 32)))
    with pytest.raises(Broken):
        await books.settlement.save_claims([forged], want("forged"))
    assert len(await books.outbox.load_open(SENDER)) == 1


async def test_save_claims__unknown_lane_or_voucher__is_broken(books: Books) -> None:
    lease = await books.ledger.take_lease(Seconds(60))
    await serve(books, lease, 1, [5])
    claim = await sign(books, (await books.settlement.load_due(PAYEE, 1))[0])
    foreign = replace(claim, claim=replace(claim.claim, lane=Address(b"\x01" * 20)))
    unbacked = replace(claim, voucher=replace(claim.voucher, ceiling=Amount(1)))
    for wrong in (foreign, unbacked):
        with pytest.raises(Broken):
            await books.settlement.save_claims([wrong], want())
    assert await books.outbox.load_open(SENDER) == []


async def test_outbox__life_of_a_transaction__round_trips(books: Books) -> None:
    row_id = await books.outbox.add(want())
    assert row_id is not None
    assert await books.outbox.add(want()) is None
    row = await books.outbox.load_row(row_id)
    assert row is not None
    assert (row.wish, row.state, row.version, row.attempts) == (want(), TxState.WANTED, 0, ())
    assert await books.outbox.save_attempt(row, attempt(7))
    (row,) = await books.outbox.load_open(SENDER)
    assert await books.outbox.save_attempt(row, attempt(7, tag=2))
    (row,) = await books.outbox.load_open(SENDER)
    assert row.attempts == (attempt(7), attempt(7, tag=2))
    mined = TxReceipt(Bytes32(b"\x02" * 32), 12, Bytes32(b"\x0b" * 32), 50_000, 10**9, is_success=True)
    assert await books.outbox.save_state(row, TxState.MINED, receipt=mined)
    (row,) = await books.outbox.load_open(SENDER)
    assert (row.receipt, row.version, row.state) == (mined, 3, TxState.MINED)
    assert await books.outbox.save_state(row, TxState.CONFIRMED)
    assert await books.outbox.load_open(SENDER) == []
    assert await books.outbox.load_open(OTHER) == []
    done = await books.outbox.load_row(row_id)
    assert done is not None
    assert (done.state, done.receipt) == (TxState.CONFIRMED, mined)
    assert await books.outbox.add(want()) is not None
    assert await books.outbox.load_row(999) is None


async def test_outbox__two_senders__the_slower_one_saves_nothing(books: Books) -> None:
    row_id = await books.outbox.add(want())
    assert row_id is not None
    row = await books.outbox.load_row(row_id)
    assert row is not None
    assert await books.outbox.save_attempt(row, attempt(7))
    assert not await books.outbox.save_attempt(row, attempt(8, tag=2))
    assert not await books.outbox.save_state(row, TxState.NEEDLESS)
    after = await books.outbox.load_row(row_id)
    assert after is not None
    assert (after.attempts, after.version) == ((attempt(7),), 1)


async def test_outbox__nonce_of_another_row__is_refused_even_when_that_one_is_done(books: Books) -> None:
    first, second = await books.outbox.add(want("a")), await books.outbox.add(want("b"))
    assert first is not None
    assert second is not None
    row, later = await books.outbox.load_row(first), await books.outbox.load_row(second)
    assert row is not None
    assert later is not None
    assert await books.outbox.save_attempt(row, attempt(7))
    sent = await books.outbox.load_row(first)
    assert sent is not None
    await books.outbox.save_state(sent, TxState.REVERTED)
    assert not await books.outbox.save_attempt(later, attempt(7, tag=2))
    assert await books.outbox.save_attempt(later, attempt(8, tag=2))
