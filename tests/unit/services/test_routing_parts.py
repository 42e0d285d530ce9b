"""The small parts of routing: the queue, engines measured from outside, wishes of clients, the basis of draws."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from node.core.errors import BadRequest
from node.core.facts import Block, Cursor
from node.core.folds import ProviderView
from node.core.hashing import Domain
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import StakeTable
from node.core.routing.load import EngineLimits
from node.core.routing.types import Preference, RouteRequest, Skip
from node.core.types import ZERO32, Address, Amount, Bytes32, Seconds
from node.services.backends import Backend, Backends
from node.services.bids import Identity
from node.services.draws import Draws, DrawTask
from node.services.routing_basis import Basis, StakeBasis
from node.services.routing_meter import EngineMeter, Meters
from node.services.routing_view import OwnView, Queue
from node.services.routing_wishes import NO_WISHES, parse_wishes

LIMITS = EngineLimits(10_000, 2, 512)
REQUEST = RouteRequest(Bytes32(ZERO32), ("m",), 100, 50)


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class TestQueue:
    def test_queue__first_come__is_first_and_a_newcomer_is_behind_all(self) -> None:
        queue, one, two = Queue(), object(), object()
        queue.join(one)
        queue.join(two)
        queue.join(one)
        assert (queue.first() is one, len(queue)) == (True, 2)
        assert [queue.ahead_of(who) for who in (one, two, object())] == [0, 1, 2]

    def test_queue__whoever_leaves__may_leave_twice(self) -> None:
        queue, one = Queue(), object()
        queue.join(one)
        queue.leave(one)
        queue.leave(one)
        assert queue.first() is None


class TestMeter:
    def test_meter__answers_of_known_speed__the_forecast_learns_it(self) -> None:
        meter = EngineMeter(LIMITS)
        for number in range(50):
            start = number * 100.0
            one = meter.begin(10, 400, start)
            meter.first(one, start + 0.1)
            meter.end(one, 101, start + 0.1 + 100 * 0.2)
        assert meter.learner.speed().step_seconds(1, 60) == pytest.approx(0.2, rel=0.2)
        assert meter.running == {}

    def test_meter__request_that_failed__teaches_nothing(self) -> None:
        meter = EngineMeter(LIMITS)
        before = meter.learner.speed()
        one = meter.begin(10, 50, 0.0)
        meter.end(one, 0, 500.0)
        meter.end(one, 40, 500.0)
        meter.first(one, 1.0)
        assert meter.learner.speed() == before

    def test_meter__long_prompt_alone__teaches_the_prefill_rate(self) -> None:
        meter = EngineMeter(LIMITS)
        for number in range(60):
            one = meter.begin(1_000, 50, number * 10.0)
            meter.first(one, number * 10.0 + 10.0)
            meter.end(one, 0, number * 10.0 + 10.0)
        assert meter.learner.speed().prefill_rate == pytest.approx(100.0, rel=0.2)

    def test_load__waiting_and_decoding__are_told_apart(self) -> None:
        meters = Meters(LIMITS)
        meter = EngineMeter(LIMITS)
        one, _ = meter.begin(10, 50, 0.0), meter.begin(20, 50, 0.0)
        meter.first(one, 1.0)
        load = meter.load(meters.lengths, 2.0)
        assert (len(load.jobs), [queued.prompt for queued in load.queue]) == (1, [20])


class TestView:
    def make(self, engines: int = 1) -> tuple[OwnView, list[Backend], Clock]:
        clock = Clock()
        backends = [Backend(object(), "m") for _ in range(engines)]  # type: ignore[arg-type]
        return OwnView(Backends({"m": backends}, clock), Meters(LIMITS), clock), backends, clock

    def test_best__engine_full__has_no_slot(self) -> None:
        view, (backend,), clock = self.make()
        meter = view.meters.of(backend)
        assert view.best(REQUEST)[1].has_slot
        for _ in range(2):
            meter.begin(10, 50, clock.at)
        assert not view.best(REQUEST)[1].has_slot

    def test_best__two_engines__the_free_one(self) -> None:
        view, (busy, free), clock = self.make(2)
        for _ in range(2):
            view.meters.of(busy).begin(10, 50, clock.at)
        assert view.best(REQUEST)[0] is free

    def test_best__engine_that_just_failed__is_not_asked(self) -> None:
        view, (backend,), clock = self.make()
        view.backends.note_failure(backend)
        assert view.best(REQUEST)[0] is None
        clock.at += 60
        assert view.best(REQUEST)[0] is backend

    def test_best__others_wait__a_newcomer_has_no_slot(self) -> None:
        view, _, _ = self.make()
        waiting = object()
        view.queue.join(waiting)
        assert not view.best(REQUEST)[1].has_slot
        assert view.best(REQUEST, waiting)[1].has_slot

    def test_best__unknown_model__is_nowhere(self) -> None:
        view, _, _ = self.make()
        assert view.best(RouteRequest(Bytes32(ZERO32), ("other",), 1, 1))[1].forecast is None


class TestWishes:
    def test_parse_wishes__nothing__is_nothing(self) -> None:
        assert parse_wishes(None) is NO_WISHES

    def test_parse_wishes__all_of_them__are_understood(self) -> None:
        said = parse_wishes({"finish_within": 3, "prefer": "price", "providers": ["0x" + "11" * 20]})
        assert (said.finish_within, said.prefer) == (3.0, Preference.PRICE)
        assert said.providers == {b"\x11" * 20}

    @pytest.mark.parametrize(
        "value",
        [
            [],
            {"unknown": 1},
            {"finish_within": 0},
            {"finish_within": True},
            {"finish_within": "3"},
            {"finish_within": 1e9},
            {"prefer": "luck"},
            {"providers": "0x"},
            {"providers": ["0x11"]},
            {"providers": ["0x" + "11" * 20] * 65},
        ],
    )
    def test_parse_wishes__malformed__is_refused_by_name(self, value: Any) -> None:
        with pytest.raises(BadRequest) as caught:
            parse_wishes(value)
        assert caught.value.facts["param"] == "wwwserve"


@dataclass
class Book:
    """The chain's books at one moment after another."""

    number: int = 5
    moves: int = 0
    rows: list[ProviderView] = field(default_factory=list)

    async def load_cursor(self) -> Cursor | None:
        return Cursor(self._block(self.number), self.number) if self.number else None

    async def load_block(self, number: int) -> Block | None:
        return self._block(number)

    async def load_providers(self) -> list[ProviderView]:
        if self.moves:
            self.moves -= 1
            self.number += 1
        return self.rows

    @staticmethod
    def _block(number: int) -> Block:
        return Block(number, Bytes32(bytes([number]) * 32), ZERO32, Seconds(number))


def view_of(number: int) -> ProviderView:
    return ProviderView(Address(bytes([number]) * 20), is_listed=True, stake=Amount(number))


class TestDraws:
    async def test_draw__another_block_of_the_same_stakes__gives_the_same_order(self) -> None:
        me = Address(b"\x01" * 20)
        unused: Any = None
        identity = Identity(me, unused, unused, Domain.of(1, me), Clock())
        draws = Draws(identity, unused, unused, unused)
        task = DrawTask(REQUEST, ZERO32, ZERO32, ProviderConfig(), lambda _: Skip.DEAD, unused)
        stakes = StakeTable((view.provider, view.stake) for view in map(view_of, range(2, 40)))
        orders = [list((await draws.draw(Basis(Book._block(number), stakes), task, 3)).steps) for number in (5, 6)]
        assert len(orders[0]) == 38
        assert orders[0] == orders[1]
        other = replace(task, request=replace(REQUEST, request_id=Bytes32(b"\x01" * 32)))
        assert list((await draws.draw(Basis(Book._block(5), stakes), other, 3)).steps) != orders[0]


class TestBasis:
    async def test_refresh__no_block_yet__has_no_basis(self) -> None:
        basis = StakeBasis(Book(number=0))  # type: ignore[arg-type]
        await basis.refresh()
        assert basis.basis is None

    async def test_refresh__block_passes_while_reading__takes_stakes_and_block_of_one_moment(self) -> None:
        book = Book(moves=1, rows=[view_of(1)])
        basis = StakeBasis(book)  # type: ignore[arg-type]
        await basis.refresh()
        assert basis.basis is not None
        assert (basis.basis.block.number, len(basis.basis.stakes)) == (6, 1)

    async def test_refresh__chain_never_rests__keeps_what_it_had(self) -> None:
        book = Book(rows=[view_of(1)])
        basis = StakeBasis(book)  # type: ignore[arg-type]
        await basis.refresh()
        book.number, book.moves = 6, 9
        await basis.refresh()
        assert basis.basis is not None
        assert basis.basis.block.number == 5

    async def test_refresh__same_stakes__keeps_the_table(self) -> None:
        book = Book(rows=[view_of(1), view_of(2)])
        basis = StakeBasis(book)  # type: ignore[arg-type]
        await basis.refresh()
        assert basis.basis is not None
        table = basis.basis.stakes
        book.number = 7
        await basis.refresh()
        assert basis.basis.stakes is table
        assert basis.basis.block.number == 7
