"""Drives a flow in the calling thread. What an abandoned flow would still tidy up, the next `sweep` does."""

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from node.client.effects import (
    Compute,
    Effect,
    Emit,
    Fail,
    Fetch,
    Flow,
    HungUp,
    InWallet,
    Open,
    Read,
    ReadOperator,
    ReadPayee,
    Shut,
    Sleep,
)
from node.client.escrow import EscrowReader
from node.client.over_httpx import HttpxSyncTransport, SyncStream
from node.client.store import Wallet
from node.client.verify import Problem
from node.core.errors import WwwserveError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncWorld:
    """What effects are performed on."""

    wallet: Wallet
    chain: EscrowReader
    transport: HttpxSyncTransport


class _Performer:
    """The effects that are not seen outside."""

    def __init__(self, world: SyncWorld) -> None:
        self._world = world
        self._stream: SyncStream | None = None

    def perform(self, effect: Effect) -> Any:  # noqa: ANN401, PLR0911 -- a table, a result a case
        match effect:
            case Read():
                return self._stream.read() if self._stream is not None else b""
            case Fetch():
                return self._world.transport.fetch(effect)
            case Open():
                reply, self._stream = self._world.transport.open(effect)
                return reply
            case InWallet(action):
                return self._world.wallet.run(action)
            case Compute(work, _):
                return work()
            case ReadPayee(payee):
                return self._world.chain.read_payee(payee)
            case ReadOperator(payee, generation):
                return self._world.chain.read_operator(payee, generation)
            case Sleep(seconds):
                time.sleep(seconds)
            case Shut():
                self.shut()
        return None

    def shut(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def drive(flow: Flow[T], world: SyncWorld) -> Generator[bytes, None, T]:
    """Yields the answer's bytes; the flow's result is the generator's value."""
    performer = _Performer(world)
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            effect = flow.send(value) if error is None else flow.throw(error)
            value, error = None, None
            if isinstance(effect, Fail):
                raise effect.error
            if isinstance(effect, Emit):
                yield effect.data
                continue
            try:
                value = performer.perform(effect)
            except (WwwserveError, Problem) as exc:
                error = exc
    except StopIteration as stop:
        result: T = stop.value
        return result
    except GeneratorExit:
        _hang_up(flow, performer)
        raise
    finally:
        performer.shut()


def _hang_up(flow: Flow[T], performer: _Performer) -> None:
    """The asker left: let the flow close the stream and keep what was seen, but wait for nothing."""
    with suppress(StopIteration, HungUp, WwwserveError, Problem):
        effect = flow.throw(HungUp())
        while not isinstance(effect, Sleep | Fetch):
            effect = flow.send(performer.perform(effect))
    flow.close()
