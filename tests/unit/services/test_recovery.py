"""Who notices that books are old, what is forbidden then, and what lifts it."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from node.adapters.ledger.high_water import HighWater
from node.core.errors import TowerUnavailable
from node.core.folds import PayeeView
from node.core.messages import Claim
from node.core.recovery import INSTRUCTION, LaneGap, Mark
from node.core.settlement import Trigger
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Signature
from node.ports.tower import TowerClaim
from node.services.recovery import Recovery
from tests.factories import PAYEE, PAYER

BOOKS = Mark(1, 10, Micros(500))
KEY = LaneKey(PAYER, PAYEE, PAYER, 1)


@dataclass
class FakeBook:
    mark: Mark = BOOKS
    gaps: list[LaneGap] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def load_mark(self, generation: int) -> Mark:
        return Mark(generation, self.mark.count, self.mark.seq)

    async def load_claimed_ahead(self, _payee: Address, _generation: int) -> list[LaneGap]:
        return self.gaps

    async def load_generations(self, _key: LaneKey) -> dict[int, tuple[Micros, int]]:
        return {1: (Micros(500), 10)}

    async def freeze_lanes(self, _payee: Address) -> int:
        self.done.append("freeze")
        return 1

    async def void_reservations(self, _payee: Address) -> int:
        self.done.append("void")
        return 2


@dataclass
class FakeTower:
    seq: int = 500
    generation: int = 1
    is_down: bool = False
    name: str = "http://tower"

    async def push(self, _claims: object) -> None:
        raise NotImplementedError

    async def load_claims(self, payee: Address) -> list[TowerClaim]:
        if self.is_down:
            raise TowerUnavailable("the watchtower http://tower does not answer")
        claim = Claim(PAYER, payee, PAYER, self.generation, Micros(self.seq), Amount(1), Bytes32(b"\x01" * 32), 1)
        return [TowerClaim(claim, Signature(b"\x01" * 65))]


def make(book: FakeBook | None = None, seen: Mark | None = None, towers: tuple[FakeTower, ...] = ()) -> Any:
    high_water = HighWater()
    if seen is not None:
        high_water.accept(seen)
    chain, serving = SimpleNamespace(payee_view=PayeeView(1, PAYEE, 1, {})), SimpleNamespace(suspended="")
    return Recovery(book or FakeBook(), high_water, chain, serving, PAYEE, towers)  # type: ignore[arg-type]


def bumped(recovery: Any, generation: int, *, final: bool = True) -> None:
    recovery.chain.payee_view = PayeeView(generation if final else 0, PAYEE, generation, {})


async def test_watch__books_and_file_agree__is_sound() -> None:
    recovery = make(seen=BOOKS)
    assert not recovery.is_sound
    await recovery.watch()
    assert recovery.is_sound
    assert recovery.serving.suspended == ""
    assert recovery.high_water.seen == BOOKS


async def test_watch__first_start_without_a_file__is_sound_and_remembers() -> None:
    recovery = make()
    await recovery.watch()
    assert recovery.is_sound
    assert recovery.high_water.seen == BOOKS


@pytest.mark.parametrize("seen", [Mark(1, 11, Micros(500)), Mark(1, 10, Micros(501)), Mark(2, 11, Micros(501))])
async def test_watch__file_ahead__freezes_and_says_the_one_thing_to_do(
    seen: Mark, caplog: pytest.LogCaptureFixture
) -> None:
    book = FakeBook()
    recovery = make(book, seen)
    await recovery.watch()
    await recovery.watch()
    assert not recovery.is_sound
    assert book.done == ["freeze"]
    assert recovery.serving.suspended.endswith(INSTRUCTION)
    assert caplog.text.count(INSTRUCTION) == 1
    assert recovery.high_water.seen == seen  # the file still knows, for the next start


async def test_watch__escrow_ahead_of_the_books__is_stale() -> None:
    recovery = make(FakeBook(gaps=[LaneGap(KEY, Amount(5), Amount(9), "the escrow")]), BOOKS)
    await recovery.watch()
    assert "the escrow knows 9" in recovery.serving.suspended


@pytest.mark.parametrize(("seq", "generation", "is_sound"), [(500, 1, True), (501, 1, False), (501, 0, True)])
async def test_watch__tower_ahead_in_this_generation__is_stale(seq: int, generation: int, *, is_sound: bool) -> None:
    recovery = make(seen=BOOKS, towers=(FakeTower(seq, generation),))
    await recovery.watch()
    assert recovery.is_sound is is_sound


async def test_watch__tower_silent__sells_nothing_until_it_answers() -> None:
    tower = FakeTower(is_down=True)
    recovery = make(seen=BOOKS, towers=(tower,))
    await recovery.watch()
    assert not recovery.is_sound
    assert "does not answer" in recovery.serving.suspended
    tower.is_down = False
    await recovery.watch()
    assert recovery.is_sound
    assert recovery.serving.suspended == ""


async def test_watch__new_generation_not_final__waits_then_goes_on_with_old_requests_void() -> None:
    book = FakeBook()
    recovery = make(book, Mark(1, 11, Micros(600)))
    await recovery.watch()
    bumped(recovery, 2, final=False)
    await recovery.watch()
    assert not recovery.is_sound
    bumped(recovery, 2)
    await recovery.watch()
    assert recovery.is_sound
    assert book.done == ["freeze", "void"]
    assert recovery.high_water.seen == Mark(2, 10, Micros(500))


async def test_watch__bumped_while_the_node_was_down__freezes_and_voids_before_it_goes_on() -> None:
    book = FakeBook()
    recovery = make(book, Mark(1, 11, Micros(600)))
    bumped(recovery, 2)
    await recovery.watch()
    assert recovery.is_sound
    assert book.done == ["freeze", "void"]


async def test_watch__database_came_back_older__suspends_a_running_node() -> None:
    recovery = make(seen=BOOKS)
    await recovery.watch()
    recovery.high_water.is_behind = True
    await recovery.watch()
    assert not recovery.is_sound
    assert "older" in recovery.serving.suspended


@pytest.mark.parametrize(
    ("gap", "is_sound", "expected"), [(9, True, []), (11, True, [Trigger.CATCH_UP]), (11, False, [])]
)
async def test_follow__after_a_long_outage__settles_at_once(
    gap: int, *, is_sound: bool, expected: list[Trigger]
) -> None:
    from node.app import Node

    asked: list[Trigger] = []

    async def nothing() -> None:
        return None

    async def poll() -> Any:
        return SimpleNamespace(gap_seconds=gap)

    async def settle(trigger: Trigger) -> None:
        asked.append(trigger)

    node = SimpleNamespace(
        watch=SimpleNamespace(poll=poll),
        parts=SimpleNamespace(chain=SimpleNamespace(refresh=nothing)),
        recovery=SimpleNamespace(watch=nothing, is_sound=is_sound),
        base=SimpleNamespace(deployment=SimpleNamespace(thaw_seconds=100)),
        settler=SimpleNamespace(settle=settle),
    )
    await Node.follow_chain(node)  # type: ignore[arg-type]
    assert asked == expected
