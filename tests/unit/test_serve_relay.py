"""Passing a stream on from an exchange that tells when bytes have come: no task turn an event, and no event lost."""

import asyncio

import pytest

from node.core.billing import Ending
from node.core.errors import EngineFailed
from node.ports.engine import LiveExchange
from node.services.caller import Caller
from node.services.relay import Relay

HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}\n\n'
WORLD = b'data: {"choices":[{"index":0,"delta":{"content":" world"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


class FakeExchange:
    """ports.LiveExchange: bytes come when the test says so."""

    def __init__(self, *ready: bytes) -> None:
        self.parts: list[bytes | EngineFailed] = list(ready)
        self.on_more = lambda: None
        self.is_cancelled = False

    def come(self, *parts: bytes | EngineFailed) -> None:
        for part in parts:
            self.parts.append(part)
            self.on_more()

    async def start(self) -> int:
        return 200

    def take(self) -> bytes | None:
        if not self.parts:
            return None
        part = self.parts.pop(0)
        if isinstance(part, EngineFailed):
            raise part
        return part

    async def read(self) -> bytes:
        part = self.take()
        assert part is not None  # the tests have it ready whenever a task asks
        return part

    def listen(self, on_more: object) -> None:
        self.on_more = on_more if callable(on_more) else (lambda: None)

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeCaller:
    """services.caller.Caller, as far as a stream needs it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_slow = False
        self.reads_again = asyncio.Event()
        self.drains = 0

    def write(self, block: bytes) -> bool:
        self.got.append(block)
        return not self.is_slow

    async def drain(self) -> None:
        self.drains += 1
        await self.reads_again.wait()


async def begun(*ready: bytes) -> tuple[FakeExchange, FakeCaller, Relay, asyncio.Task[None]]:
    exchange, caller = FakeExchange(*ready), FakeCaller()
    assert isinstance(exchange, LiveExchange)
    relay = Relay(exchange, is_stream=True)
    await relay.open()
    pumping = asyncio.create_task(relay.pump(caller))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return exchange, caller, relay, pumping


async def test_pump__bytes_come__passed_on_in_the_same_turn() -> None:
    exchange, caller, relay, pumping = await begun(HELLO)
    assert caller.got == [HELLO]
    exchange.come(WORLD)
    assert caller.got == [HELLO, WORLD]  # no other task has run in between
    exchange.come(DONE, b"")
    await pumping
    assert relay.error is None
    assert relay.ending() is Ending.FINISHED
    assert relay.answer.texts() == ["Hello world"]


async def test_pump__all_came_before_anybody_listened__nothing_is_lost() -> None:
    _, caller, relay, pumping = await begun(HELLO, WORLD, DONE, b"")
    await pumping
    assert b"".join(caller.got) == HELLO + WORLD
    assert relay.ending() is Ending.FINISHED


async def test_pump__slow_caller__takes_no_more_until_it_reads_again() -> None:
    exchange, caller, relay, pumping = await begun(HELLO)
    caller.is_slow = True
    exchange.come(WORLD)
    await asyncio.sleep(0)
    exchange.come(DONE, b"")
    assert exchange.parts == [DONE, b""]  # left where the engine feels it
    caller.reads_again.set()
    await pumping
    assert caller.drains == 1
    assert b"".join(caller.got) == HELLO + WORLD
    assert relay.ending() is Ending.FINISHED


async def test_pump__engine_fails_between_events__an_error_after_what_came() -> None:
    exchange, caller, relay, pumping = await begun(HELLO)
    exchange.come(EngineFailed("gone"))
    await pumping
    assert exchange.is_cancelled
    assert relay.error is not None
    assert caller.got == [HELLO]
    assert relay.ending() is Ending.FAILED_LATE


async def test_pump__ends_without_done__is_cut_short() -> None:
    exchange, _, relay, pumping = await begun(HELLO)
    exchange.come(WORLD, b"")
    await pumping
    assert relay.error is not None
    assert "without [DONE]" in relay.error.message


async def test_pump__endless_event__is_an_error_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.services.sse.MAX_EVENT_BYTES", 100)
    exchange, _, relay, pumping = await begun(HELLO)
    exchange.come(b"data: " + b"x" * 200)
    await pumping
    assert relay.error is not None
    assert exchange.is_cancelled


async def test_pump__cancelled__nobody_listens_any_more() -> None:
    exchange, caller, _, pumping = await begun(HELLO)
    pumping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pumping
    exchange.come(WORLD)
    assert caller.got == [HELLO]


def test_caller__protocol__has_what_the_relay_calls() -> None:
    assert callable(Caller.write)
    assert callable(Caller.drain)
