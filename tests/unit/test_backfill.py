"""`backfill`: waits for endpoints that fail, goes on where it stopped."""

import pytest

from node.cli.backfill import PATIENCE, fill
from node.core.errors import ChainUnavailable
from node.services.watch_chain import ChainWatch
from tests.fakes.chain_books import MemoryChainBook
from tests.fakes.scripted_chain import ScriptedChain

pytestmark = pytest.mark.unit


class Case:
    """A chain of 100 blocks that goes down after so many chunks, and comes back after so many pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, chunks: int, pauses: int) -> None:
        monkeypatch.setattr("node.services.watch_chain.CHUNK_BLOCKS", 10)
        monkeypatch.setattr("node.services.watch_chain.HEAD_BLOCKS", 6)
        self.chain, self.book = ScriptedChain(), MemoryChainBook()
        for _ in range(100):
            self.chain.mine()
        self.chunks, self.pauses = chunks, pauses
        self.seen: list[int] = []
        self.paused = 0

    def watch(self) -> ChainWatch:
        return ChainWatch(self.chain, self.book, 1, self.progress)

    def progress(self, done: int, _head: int) -> None:
        self.seen.append(done)
        self.chain.is_down = len(self.seen) == self.chunks

    async def pause(self, _seconds: float) -> None:
        self.paused += 1
        self.chain.is_down = self.paused < self.pauses


async def test_fill__endpoint_fails_on_the_way__goes_on_and_reads_no_block_twice(monkeypatch) -> None:
    case = Case(monkeypatch, chunks=3, pauses=4)
    cursor = await fill(case.watch(), case.pause)
    assert (cursor.head.number, case.paused) == (100, 4)
    assert case.seen == sorted(set(case.seen))
    assert case.seen[:4] == [9, 19, 29, 39]


async def test_fill__endpoint_stays_down__gives_up_and_the_next_run_resumes(monkeypatch) -> None:
    case = Case(monkeypatch, chunks=3, pauses=10**9)
    with pytest.raises(ChainUnavailable):
        await fill(case.watch(), case.pause)
    assert (case.paused, case.book.head) == (PATIENCE, 29)
    case.chain.is_down, case.chunks = False, 10**9
    await fill(case.watch(), case.pause)
    assert case.seen[3] == 39
    assert case.book.head == 100
