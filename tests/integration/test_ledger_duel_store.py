"""A node's own part in duels, kept on both databases; running and ended duels as the books tell them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from node.adapters.ledger import Books, migrate
from node.core.answers import SignedAnswer
from node.core.duel_facts import DuelState
from node.core.duels import Vote
from node.core.messages import Answer
from node.core.types import Address, Amount, Bytes32, Seconds, Signature
from node.ports.duels import KeptCase, KeptVote
from tests.integration.test_ledger_chain_book import batch
from tests.integration.test_ledger_duels import DUEL, NORTH, OTHER, drawn, event, opened
from tests.ledgers import opened_books

ONE = SignedAnswer(
    Answer(NORTH, NORTH, 1, *[Bytes32(bytes([number]) * 32) for number in range(4)], Address(NORTH), Bytes32(DUEL)),
    Signature(b"\x07" * 65),
)
CASE = KeptCase(Bytes32(DUEL), 9, 3, Amount(2**100), ONE, ONE, b"evidence", Seconds(5))


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    migrate(ledger_url)
    async with opened_books(ledger_url) as made:
        yield made


async def test_case__kept_twice__is_the_first_until_it_is_dropped(books: Books) -> None:
    await books.duels.keep_case(CASE)
    await books.duels.keep_case(replace(CASE, attempt=4))
    assert await books.duels.load_case(Bytes32(DUEL)) == CASE
    assert list(await books.duels.load_cases()) == [CASE]
    await books.duels.drop_case(Bytes32(DUEL))
    assert await books.duels.load_case(Bytes32(DUEL)) is None


async def test_evidence__of_a_case_or_kept_as_a_judge__is_one_question(books: Books) -> None:
    await books.duels.keep_case(CASE)
    await books.duels.keep_evidence(Bytes32(OTHER), b"shown", Seconds(7))
    await books.duels.keep_evidence(Bytes32(OTHER), b"later", Seconds(8))
    assert await books.duels.load_evidence(Bytes32(DUEL)) == b"evidence"
    assert await books.duels.load_evidence(Bytes32(OTHER)) == b"shown"
    assert await books.duels.load_held() == {OTHER: 7}, "a case is not held as a judge: its dispatcher drops it"
    await books.duels.drop_evidence(Bytes32(OTHER))
    await books.duels.drop_evidence(Bytes32(DUEL))
    assert await books.duels.load_evidence(Bytes32(OTHER)) is None
    assert await books.duels.load_case(Bytes32(DUEL)) == CASE


async def test_votes__a_seat_that_has_one__keeps_it(books: Books) -> None:
    vote = KeptVote(2, Vote.FIRST, Bytes32(b"\x01" * 32), "why")
    await books.duels.keep_votes(Bytes32(DUEL), [vote])
    await books.duels.keep_votes(Bytes32(DUEL), [replace(vote, vote=Vote.SECOND), replace(vote, seat=4)])
    assert await books.duels.load_votes(Bytes32(DUEL)) == {2: vote, 4: replace(vote, seat=4)}
    assert await books.duels.load_votes(Bytes32(OTHER)) == {}


async def test_canary__known_or_not__outlives_its_case(books: Books) -> None:
    await books.duels.keep_case(CASE)
    assert await books.duels.load_canary(Bytes32(DUEL)) is None
    await books.duels.keep_canary(Bytes32(DUEL), Vote.SECOND)
    await books.duels.keep_canary(Bytes32(DUEL), Vote.FIRST)
    await books.duels.drop_case(Bytes32(DUEL))
    assert await books.duels.load_canary(Bytes32(DUEL)) is Vote.SECOND
    assert await books.duels.load_canary(Bytes32(OTHER)) is None


async def test_seed__kept_twice__is_the_first(books: Books) -> None:
    first, second = Bytes32(b"\x01" * 32), Bytes32(b"\x02" * 32)
    assert await books.duels.load_seed(7) is None
    assert await books.duels.keep_seed(7, first) == first
    assert await books.duels.keep_seed(7, second) == first
    assert await books.duels.load_seed(7) == first


async def test_running_and_ended__by_their_ends__once_those_are_final(books: Books) -> None:
    amounts = dict.fromkeys(("slashed", "prize", "share", "bondBack", "appealBack"), 1)
    ended = event(4, 0, "Finalized", duelId=DUEL, outcome=5, **amounts)
    steps = (opened(2, DUEL), opened(3, OTHER), drawn(3, DUEL), ended)
    await books.chain.book(batch(1, 4, *steps, finalised=3))
    running = await books.chain.load_running()
    assert {key: one.state for key, one in running.items()} == {OTHER: DuelState.OPENED}
    assert await books.chain.load_ended((-1, -1)) == [], "a reorganisation may still undo it"
    await books.chain.book(batch(5, 5, finalised=4))
    assert [(place, one.state) for place, one in await books.chain.load_ended((-1, -1))] == [
        ((4, 0), DuelState.FIRST_WON)
    ]
    assert await books.chain.load_ended((4, 0)) == []
    duel = await books.chain.load_duel(DUEL)
    assert (duel.ended_at, duel.first_answer) == (4, b"\x05" * 32)
