"""Duels in the books: booked as events, read as folds, undone with their blocks, on both databases."""

from collections.abc import AsyncIterator

import pytest

from node.adapters.ledger import Books, migrate
from node.core.duel_facts import DuelFacts, DuelState
from node.core.duels import Vote
from node.core.facts import ChainEvent
from tests.integration.test_ledger_chain_book import batch, block
from tests.ledgers import opened_books

DUEL, OTHER = b"\x0d" * 32, b"\x0e" * 32
NORTH, SOUTH, EAST = (bytes([number]) * 20 for number in (1, 2, 3))


def event(number: int, index: int, name: str, **args: object) -> ChainEvent:
    return ChainEvent(number, block(number).hash, index, b"\x07" * 32, "duels", name, args)


def opened(number: int, duel: bytes) -> ChainEvent:
    words = dict.fromkeys(("requestId", "firstAnswer", "secondAnswer", "evidenceRoot", "nonceCommit"), b"\x05" * 32)
    parties = {"first": NORTH, "second": SOUTH, "dispatcher": EAST}
    numbers = {"attempt": 1, "epoch": 9, "drawBlock": number + 2, "prize": 18}
    return event(number, 0, "Opened", duelId=duel, **parties, **words, **numbers)


def drawn(number: int, duel: bytes) -> ChainEvent:
    places = sum(place << (16 * seat) for seat, place in enumerate((4, 5, 6, 7, 4)))
    return event(number, 1, "Drawn", duelId=duel, seed=2**255, places=places, commitEnd=99)


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    migrate(ledger_url)
    async with opened_books(ledger_url) as made:
        yield made


async def test_load_duel__its_own_events_in_order__are_its_course(books: Books) -> None:
    revealed = event(4, 0, "Revealed", duelId=DUEL, seat=1, judge=NORTH, vote=2, rationaleHash=b"\x08" * 32)
    await books.chain.book(batch(1, 4, opened(2, DUEL), opened(3, OTHER), drawn(3, DUEL), revealed))
    duel = await books.chain.load_duel(DUEL)
    assert (duel.state, duel.first, duel.attempt, duel.prize) == (DuelState.JUDGING, NORTH, 1, 18)
    assert (duel.places, duel.votes) == ({0: 4, 1: 5, 2: 6, 3: 7, 4: 4}, {1: Vote.SECOND})
    assert (await books.chain.load_duel(OTHER)).state is DuelState.OPENED
    assert await books.chain.load_duel(b"\x0f" * 32) == DuelFacts()


async def test_load_duel__its_last_step_undone__stands_where_it_stood(books: Books) -> None:
    await books.chain.book(batch(1, 4, opened(2, DUEL), drawn(4, DUEL)))
    await books.chain.roll_back(3)
    assert (await books.chain.load_duel(DUEL)).state is DuelState.OPENED
    await books.chain.roll_back(1)
    assert await books.chain.load_duel(DUEL) == DuelFacts()


async def test_load_court__members_and_weights__give_the_snapshot_of_an_epoch(books: Books) -> None:
    steps = (
        event(2, 0, "Enrolled", provider=NORTH, place=1, delegate=EAST),
        event(2, 1, "Weighed", provider=NORTH, place=1, epoch=9, oldWeight=0, newWeight=1000),
        event(3, 0, "Enrolled", provider=SOUTH, place=2, delegate=b"\x00" * 20),
        event(3, 1, "Weighed", provider=SOUTH, place=2, epoch=10, oldWeight=0, newWeight=500),
        event(3, 2, "ControllerSet", provider=SOUTH, oldController=SOUTH, newController=NORTH),
    )
    await books.chain.book(batch(1, 3, *steps))
    court = await books.chain.load_court()
    assert [(one.provider, one.weight) for one in court.snapshot(9)] == [(NORTH, 1000), (SOUTH, 0)]
    assert [(one.controller, one.weight) for one in court.snapshot(10)] == [(NORTH, 1000), (NORTH, 500)]
    await books.chain.roll_back(2)
    assert (await books.chain.load_court()).place_of(SOUTH) == 0
