"""services.watch_chain over a scripted chain: what is booked, undone, refused, and where the cursor stops."""

import random

import pytest

from node.core.errors import Broken, ChainUnavailable
from node.core.facts import ChainEvent
from node.core.types import ZERO32, Address, Bytes32
from node.services.watch_chain import ChainWatch
from tests.fakes.chain_books import MemoryChainBook
from tests.fakes.scripted_chain import ScriptedChain

A, B = Address(b"\x0a" * 20), Address(b"\x0b" * 20)


def fact(name: str, **args: object) -> ChainEvent:
    return ChainEvent(0, Bytes32(ZERO32), 0, Bytes32(ZERO32), "escrow", name, args)  # the chain fills in the place


def allotted(total: int) -> ChainEvent:
    return fact("Allotted", payer=A, payee=B, amount=1, allotted=total)


def watch(chain: ScriptedChain, book: MemoryChainBook) -> ChainWatch:
    return ChainWatch(chain, book, deploy_block=1)


async def fresh_index(chain: ScriptedChain) -> MemoryChainBook:
    book = MemoryChainBook()
    await watch(chain, book).poll()
    return book


async def test_poll__first_time__books_everything_from_the_deploy_block() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for total in range(1, 11):
        chain.mine(allotted(total))
    followed = await watch(chain, book).poll()
    assert (followed.cursor.head, followed.cursor.finalised) == (chain.blocks[-1], 6)
    assert [event.number("allotted") for event in book.events] == list(range(1, 11))
    assert book.pair(A, B).cover == 6


async def test_poll__nothing_new__changes_nothing() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    chain.mine(allotted(1))
    await watch(chain, book).poll()
    events = list(book.events)
    followed = await watch(chain, book).poll()
    assert (book.events, followed.gap_seconds, followed.rolled_back) == (events, 0, 0)


async def test_poll__after_an_outage__tells_how_long_it_was() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    chain.mine()
    await watch(chain, book).poll()
    for _ in range(10):
        chain.mine()
    assert (await watch(chain, book).poll()).gap_seconds == 120


@pytest.mark.parametrize("depth", [1, 2, 4])
async def test_poll__fork__undoes_by_hash_and_equals_a_fresh_index(depth: int) -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for total in range(1, 9):
        chain.mine(allotted(total))
    await watch(chain, book).poll()
    chain.reorg(depth)
    for total in range(depth):
        chain.mine(allotted(100 + total))
    followed = await watch(chain, book).poll()
    assert followed.rolled_back == depth
    assert book.events == (await fresh_index(chain)).events


async def test_poll__fork_that_drops_an_allotment__takes_the_cover_back() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for _ in range(8):
        chain.mine()
    chain.mine(allotted(50))
    await watch(chain, book).poll()
    chain.reorg(1)
    chain.mine()
    chain.mine()
    await watch(chain, book).poll()
    assert book.events == []


async def test_poll__fork_below_finality__stops_loudly_and_keeps_the_books() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for total in range(1, 11):
        chain.mine(allotted(total))
    await watch(chain, book).poll()
    before = list(book.events)
    chain.reorg(6)
    for _ in range(7):
        chain.mine()
    with pytest.raises(Broken, match="finalised block has another hash"):
        await watch(chain, book).poll()
    assert book.events == before


async def test_poll__head_merely_lower__waits_and_undoes_nothing() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for total in range(1, 9):
        chain.mine(allotted(total))
    await watch(chain, book).poll()
    kept = chain.blocks[-2:]
    del chain.blocks[-2:]
    followed = await watch(chain, book).poll()
    assert (followed.rolled_back, len(book.events), book.head) == (0, 8, 8)
    chain.blocks += kept
    chain.mine(allotted(9))
    await watch(chain, book).poll()
    assert len(book.events) == 9


async def test_poll__head_below_finality__is_unavailable() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    for _ in range(10):
        chain.mine()
    await watch(chain, book).poll()
    del chain.blocks[3:]
    with pytest.raises(ChainUnavailable, match="was final"):
        await watch(chain, book).poll()


async def test_poll__unknown_event__stops_the_cursor_before_it() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    chain.mine(allotted(1))
    await watch(chain, book).poll()
    chain.mine(fact("Surprise"))
    chain.mine(allotted(2))
    for _ in range(2):
        with pytest.raises(Broken, match="does not know"):
            await watch(chain, book).poll()
    assert (book.head, len(book.events)) == (1, 1)


async def test_poll__chain_down__raises_and_later_resumes() -> None:
    chain, book = ScriptedChain(), MemoryChainBook()
    chain.mine(allotted(1))
    chain.is_down = True
    with pytest.raises(ChainUnavailable):
        await watch(chain, book).poll()
    chain.is_down = False
    await watch(chain, book).poll()
    assert len(book.events) == 1


async def test_poll__long_backfill__goes_in_chunks_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.services.watch_chain.CHUNK_BLOCKS", 10)
    monkeypatch.setattr("node.services.watch_chain.HEAD_BLOCKS", 6)
    chain, book, seen = ScriptedChain(), MemoryChainBook(), []
    for total in range(1, 36):
        chain.mine(*([allotted(total)] if total % 7 == 0 else []))
    await ChainWatch(chain, book, 1, lambda done, of: seen.append((done, of))).poll()
    assert seen == [(9, 35), (19, 35), (29, 35), (35, 35)]
    assert len(book.events) == 5
    assert len(book.blocks) < 36


async def test_poll__two_hundred_random_schedules__equal_a_fresh_index() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        chain, book = ScriptedChain(finality=dice.randint(1, 8)), MemoryChainBook()
        total, final = 0, 0
        for _ in range(dice.randint(3, 12)):
            final = max(final, len(chain.blocks) - 1 - chain.finality)
            movable = len(chain.blocks) - 1 - final
            if dice.random() < 0.4 and movable:
                chain.reorg(dice.randint(1, movable))
            for _ in range(dice.randint(1, 9)):
                total += 1
                chain.mine(*([allotted(total)] * dice.randint(0, 2)))
            if dice.random() < 0.7:
                await watch(chain, book).poll()
        while len(chain.blocks) <= book.head + 1:  # a shorter fork proves itself once it has grown
            chain.mine()
        await watch(chain, book).poll()
        assert book.events == (await fresh_index(chain)).events, seed
