"""The chain's side of the books.

Events, what follows from them, gaps, repeats and reorganisations, on both databases.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from node.adapters.ledger import Books, migrate
from node.core.errors import Broken, CeilingTooLow, CoverTooLow, LaneFrozen, StaleGeneration, WrongSignature
from node.core.facts import Block, ChainBatch, ChainEvent
from node.core.hashing import keccak
from node.core.types import ZERO_ADDRESS, Address, Amount, Bytes32, Seconds
from node.core.voucher import Standing
from tests.factories import PAYEE, PAYER
from tests.ledgers import OWN, dump, micros, opened_books, outcome, wish

OPERATOR, SIGNER = Address(b"\x0f" * 20), Address(b"\x05" * 20)


def block(number: int, fork: str = "a", parent: str = "a") -> Block:
    digest = keccak(f"{fork}{number}".encode())
    return Block(number, digest, keccak(f"{parent}{number - 1}".encode()), Seconds(1_800_000_000 + number))


def event(number: int, index: int, name: str, fork: str = "a", **args: object) -> ChainEvent:
    contract = "registry" if name in ("Registered", "Deregistered") else "escrow"
    return ChainEvent(number, block(number, fork).hash, index, keccak(b"tx"), contract, name, args)


def allotted(number: int, amount: int, fork: str = "a", index: int = 0) -> ChainEvent:
    return event(number, index, "Allotted", fork, payer=PAYER, payee=PAYEE, amount=amount, allotted=amount)


def operator_set(number: int, generation: int, fork: str = "a") -> ChainEvent:
    return event(number, 1, "OperatorSet", fork, payee=PAYEE, operator=OPERATOR, generation=generation)


def settled(number: int, claimed: int) -> ChainEvent:
    known = {"payer": PAYER, "payee": PAYEE, "lane": PAYER, "generation": 1, "seq": 7, "count": 1, "root": b"\x09" * 32}
    return event(number, 2, "Settled", claimedAfter=claimed, cumulative=claimed, paid=claimed, ceiling=claimed, **known)


def batch(first: int, last: int, *events: ChainEvent, finalised: int = 0) -> ChainBatch:
    return ChainBatch(tuple(block(number) for number in range(first, last + 1)), events, finalised)


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    migrate(ledger_url)
    async with opened_books(ledger_url) as made:
        yield made


async def cover_of(books: Books) -> int:
    return (await books.chain.load_standing(PAYEE, PAYER, PAYER)).cover


async def test_cursor__nothing_booked__is_none(books: Books) -> None:
    assert await books.chain.load_cursor() is None
    assert await books.chain.load_standing(PAYEE, PAYER, SIGNER) == Standing(PAYEE, 0, ZERO_ADDRESS, 0)
    assert (await books.chain.load_payee(PAYEE)).generation == 0


async def test_book__allotment__counts_when_final_and_a_thaw_at_once(books: Books) -> None:
    await books.chain.book(batch(1, 3, allotted(2, 500), operator_set(3, 1), finalised=1))
    assert await cover_of(books) == 0
    assert (await books.chain.load_payee(PAYEE)).generation == 0
    await books.chain.book(batch(4, 4, finalised=3))
    assert await cover_of(books) == 500
    payee = await books.chain.load_payee(PAYEE)
    assert (payee.generation, payee.operator, payee.operator_of(1)) == (1, OPERATOR, OPERATOR)
    thaw = event(5, 0, "ThawRequested", payer=PAYER, payee=PAYEE, oldAmount=0, newAmount=200, thawEnd=99)
    await books.chain.book(batch(5, 5, thaw, finalised=3))
    assert await cover_of(books) == 300
    cursor = await books.chain.load_cursor()
    assert cursor is not None
    assert (cursor.head, cursor.finalised) == (block(5), 3)


async def test_book__same_batch_again__changes_nothing(books: Books) -> None:
    first = batch(1, 3, allotted(2, 500), operator_set(3, 1), finalised=2)
    await books.chain.book(first)
    before = dump(books.store.engine)
    await books.chain.book(first)
    await books.chain.book(batch(2, 3, allotted(2, 500), finalised=1))
    assert dump(books.store.engine) == before


@pytest.mark.parametrize(
    "wrong",
    [
        ChainBatch((block(4, "b", "b"),), (), 0),
        ChainBatch((block(3, "b", "a"),), (), 0),
        ChainBatch((block(6),), (), 3),
        ChainBatch((block(4),), (event(4, 0, "Unheard"),), 0),
        ChainBatch((block(4),), (event(4, 0, "Allotted", payer=PAYER, payee=PAYEE),), 0),
    ],
    ids=["foreign parent", "other block at a height", "gap above finalised", "unknown event", "argument missing"],
)
async def test_book__impossible_batch__is_broken_and_writes_nothing(books: Books, wrong: ChainBatch) -> None:
    await books.chain.book(batch(1, 3, allotted(2, 500), finalised=1))
    before = dump(books.store.engine)
    with pytest.raises(Broken):
        await books.chain.book(wrong)
    assert dump(books.store.engine) == before


async def test_book__gap_below_finalised__is_a_backfill(books: Books) -> None:
    await books.chain.book(batch(1, 3, allotted(2, 500), finalised=3))
    far = ChainBatch((block(50), block(99), block(100)), (allotted(50, 900),), 98)
    await books.chain.book(far)
    assert await cover_of(books) == 900
    assert await books.chain.load_block(50) == block(50)
    assert await books.chain.load_block(49) is None


async def test_roll_back__orphaned_allotment_and_settlement__are_forgotten(books: Books) -> None:
    await books.chain.book(batch(1, 3, allotted(2, 500), operator_set(2, 1), finalised=2))
    before = dump(books.store.engine)
    await books.chain.book(batch(4, 6, allotted(4, 800), settled(5, 60), finalised=2))
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert pair.committed == 60
    await books.chain.roll_back(3)
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert (pair.cover, pair.committed) == (500, 0)
    after = dump(books.store.engine)
    assert [row[-1] for row in after.pop("lane")] == [0]
    before.pop("lane")
    assert after == before
    fork = ChainBatch((block(4, "b", "a"), block(5, "b", "b")), (allotted(4, 700, "b"),), 5)
    await books.chain.book(fork)
    assert await cover_of(books) == 700


async def test_roll_back__below_finalised__is_broken(books: Books) -> None:
    await books.chain.book(batch(1, 5, finalised=3))
    with pytest.raises(Broken):
        await books.chain.roll_back(2)
    await books.chain.roll_back(9)
    await books.chain.roll_back(3)
    cursor = await books.chain.load_cursor()
    assert cursor is not None
    assert cursor.head.number == 3


async def test_reorg__any_depth__equals_a_fresh_index(books: Books, tmp_path: object) -> None:
    await books.chain.book(batch(1, 2, allotted(2, 500), operator_set(2, 1), finalised=2))
    await books.chain.book(batch(3, 12, *(allotted(n, 500 + n) for n in range(3, 13)), finalised=2))
    await books.chain.roll_back(5)
    fork = (block(6, "b", "a"), *(block(n, "b", "b") for n in range(7, 15)))
    events = tuple(allotted(n, 900 + n, "b") for n in range(6, 15))
    await books.chain.book(ChainBatch(fork, events, 8))
    url = f"sqlite:///{tmp_path}/fresh.db"
    migrate(url)
    async with opened_books(url) as fresh:
        whole = (*(block(n) for n in range(1, 6)), *fork)
        known = (allotted(2, 500), operator_set(2, 1), *(allotted(n, 500 + n) for n in range(3, 6)), *events)
        await fresh.chain.book(ChainBatch(whole, known, 8))
        expected, found = dump(fresh.store.engine), dump(books.store.engine)
    for name in ("chain_event", "pair", "payee_state", "chain_cursor"):
        assert found[name] == expected[name]


async def test_signer__authorised_raised_and_thawing__follows_finality(books: Books) -> None:
    authorised = event(2, 0, "SignerAuthorized", signer=SIGNER, payer=PAYER, cap=150)
    await books.chain.book(batch(1, 3, authorised, allotted(2, 900, index=3), operator_set(2, 1), finalised=1))
    assert (await books.chain.load_standing(PAYEE, PAYER, SIGNER)).signer_payer == ZERO_ADDRESS
    await books.chain.book(batch(4, 4, finalised=3))
    assert (await books.chain.load_standing(PAYEE, PAYER, SIGNER)).signer_payer == PAYER
    lease = await books.ledger.take_lease(Seconds(60))
    key = replace(OWN, lane=SIGNER)
    assert await books.ledger.admit(wish(1, lease, key=key)) is None
    with pytest.raises(CeilingTooLow):
        await books.ledger.admit(wish(2, lease, key=key))
    raised = event(5, 0, "SignerCapRaised", signer=SIGNER, oldCap=150, newCap=400)
    await books.chain.book(batch(5, 6, raised, finalised=5))
    assert await books.ledger.admit(wish(2, lease, key=key)) is None
    await books.chain.book(batch(7, 7, event(7, 0, "SignerThawing", signer=SIGNER, thawEnd=9), finalised=5))
    with pytest.raises(WrongSignature):
        await books.ledger.admit(wish(3, lease, key=key))


async def test_settlement_seen__claimed_above_charged__counts_against_the_cover(books: Books) -> None:
    await books.chain.book(batch(1, 2, allotted(1, 300), operator_set(2, 1), finalised=2))
    lease = await books.ledger.take_lease(Seconds(60))
    await books.ledger.admit(wish(1, lease))
    await books.ledger.close(wish(1, lease), outcome(80), micros())
    await books.chain.book(batch(3, 3, settled(3, 50), finalised=2))
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert pair.committed == 80
    await books.chain.book(batch(4, 4, settled(4, 250), finalised=2))
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert pair.committed == 250
    with pytest.raises(CoverTooLow):
        await books.ledger.admit(wish(2, lease))


async def test_overclaim_convicted__after_the_last_settlement__leaves_what_was_claimed(books: Books) -> None:
    """The newest settlement says all of a lane, whatever other events follow it; an undone one no longer counts."""
    convicted = event(5, 0, "OverclaimChallenged", payer=PAYER, payee=PAYEE, lane=PAYER, generation=1, excess=9)
    await books.chain.book(batch(1, 2, allotted(1, 300), operator_set(2, 1), finalised=2))
    await books.chain.book(batch(3, 5, settled(3, 50), settled(4, 120), convicted, finalised=2))
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert pair.committed == 120
    await books.chain.roll_back(3)
    pair = await books.ledger.load_pair(PAYER, PAYEE)
    assert pair is not None
    assert pair.committed == 50


async def test_bumped_generation__seen_at_once__admits_nothing_until_final(books: Books) -> None:
    await books.chain.book(batch(1, 2, allotted(1, 300), operator_set(2, 1), finalised=2))
    lease = await books.ledger.take_lease(Seconds(60))
    bumped = event(3, 0, "GenerationBumped", payee=PAYEE, oldGeneration=1, newGeneration=2)
    await books.chain.book(batch(3, 3, bumped, finalised=2))
    for generation in (1, 2):
        with pytest.raises(StaleGeneration):
            await books.ledger.admit(wish(1, lease, key=replace(OWN, generation=generation)))
    await books.chain.book(batch(4, 4, finalised=3))
    second = replace(OWN, generation=2)
    with pytest.raises(LaneFrozen):
        await books.ledger.admit(wish(1, lease, key=second))
    await books.ledger.reopen_lane(second, Amount(0))
    assert await books.ledger.admit(wish(1, lease, key=second)) is None


async def test_providers__registered_and_gone__are_listed_as_of_the_finalised_block(books: Books) -> None:
    made = {"provider": PAYEE, "endpoint": "0xhttp://a", "offerHash": b"\x01" * 32, "stake": 2**100}
    await books.chain.book(batch(1, 2, event(1, 0, "Registered", **made), finalised=0))
    assert await books.chain.load_providers() == []
    await books.chain.book(batch(3, 3, finalised=1))
    (found,) = await books.chain.load_providers()
    assert (found.provider, found.endpoint, found.stake) == (PAYEE, "0xhttp://a", 2**100)
    gone = event(4, 0, "Deregistered", provider=PAYEE, unbonding=2**100, unbondEnd=77)
    await books.chain.book(batch(4, 5, gone, finalised=5))
    assert await books.chain.load_providers() == []


async def test_book__years_of_empty_blocks__are_pruned_but_the_head_stays(books: Books) -> None:
    await books.chain.book(batch(1, 30, allotted(2, 500), finalised=20))
    await books.chain.book(batch(31, 40, finalised=36))
    assert await books.chain.load_block(2) == block(2)
    assert await books.chain.load_block(15) is None
    assert await books.chain.load_block(36) == block(36)


def test_helpers__block__is_a_chain() -> None:
    assert block(5).parent == block(4).hash
    assert isinstance(block(1).hash, bytes)
    assert Bytes32(block(1).hash) != block(1, "b").hash
