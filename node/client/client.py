"""The Python clients: OpenAI bodies in, paid and checked answers out. For programs that want no gateway between.

with WwwserveClient(payer, ["https://node.example"], engine, chain) as client:
answer = client.complete({"model": "smollm2-135m", "messages": [{"role": "user", "content": "Hello"}]})
"""

import asyncio
import json
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Engine

from node.client.carrier import Carrier, World, run
from node.client.effects import Flow
from node.client.escrow import EscrowReader
from node.client.over_httpx import HttpxSyncTransport, HttpxTransport
from node.client.payer import Payer
from node.client.payflow import Answer, buy
from node.client.provider import Directory
from node.client.quote import Ask, parse_ask
from node.client.store import Wallet, WalletWriter
from node.client.sweep import Swept, sweep
from node.client.sync_driver import SyncWorld, drive
from node.core.assembly import SseParser
from node.core.messages import Receipt
from node.core.prompt import CHAT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer: the OpenAI body, the receipt that was checked, and who served it."""

    body: dict[str, Any]
    receipt: Receipt
    url: str


def _completion(answer: Answer) -> Completion:
    return Completion(json.loads(answer.body), answer.paid.receipt, answer.url)


def _ask(fields: Mapping[str, Any], path: str, *, stream: bool) -> Ask:
    return parse_ask(path, json.dumps({**fields, "stream": stream}).encode())


class WwwserveClient:
    """For one thread. Errors are `WwwserveError`s: their `facts` say what to do next."""

    def __init__(self, payer: Payer, providers: Sequence[str], engine: Engine, chain: EscrowReader) -> None:
        self._payer = payer
        self._providers = tuple(url.rstrip("/") for url in providers)
        self._directory = Directory()
        self._world = SyncWorld(Wallet(engine), chain, HttpxSyncTransport())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def complete(self, fields: Mapping[str, Any], path: str = CHAT) -> Completion:
        """One whole answer."""
        flow = buy(_ask(fields, path, stream=False), self._payer, self._providers, self._directory)
        return _completion(_exhaust(drive(flow, self._world)))

    def stream(self, fields: Mapping[str, Any], path: str = CHAT) -> Iterator[dict[str, Any]]:
        """The chunks of one answer as they come. It is complete only if the iteration ends by itself."""
        parser = SseParser()
        flow = buy(_ask(fields, path, stream=True), self._payer, self._providers, self._directory)
        for data in drive(flow, self._world):
            for event in parser.feed(data):
                if (chunk := event.chunk()) is not None:
                    yield chunk

    def sweep(self) -> Swept:
        """Fetch late receipts, drop stale entries. Call it at start and after errors."""
        return _exhaust(drive(sweep(self._payer), self._world))

    def close(self) -> None:
        """Release connections and the wallet."""
        self._world.transport.close()
        self._world.wallet.close()


def _exhaust(parts: Generator[bytes, None, T]) -> T:
    while True:
        try:
            next(parts)
        except StopIteration as stop:
            result: T = stop.value
            return result


class AsyncWwwserveClient:
    """The same for an event loop, many requests in flight at once."""

    def __init__(self, payer: Payer, providers: Sequence[str], engine: Engine, chain: EscrowReader) -> None:
        self._payer = payer
        self._providers = tuple(url.rstrip("/") for url in providers)
        self._directory = Directory()
        self._world = World(WalletWriter(engine), chain, HttpxTransport())
        self._live: set[Carrier[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def complete(self, fields: Mapping[str, Any], path: str = CHAT) -> Completion:
        """One whole answer."""
        flow = buy(_ask(fields, path, stream=False), self._payer, self._providers, self._directory)
        carrier = self._carry(flow)
        try:
            return _completion(await carrier.result())
        finally:
            carrier.hang_up()

    async def stream(self, fields: Mapping[str, Any], path: str = CHAT) -> AsyncIterator[dict[str, Any]]:
        """The chunks as they come; see WwwserveClient.stream. Closing the iterator early hangs up at the provider."""
        parser = SseParser()
        flow = buy(_ask(fields, path, stream=True), self._payer, self._providers, self._directory)
        carrier = self._carry(flow)
        try:
            async for data in carrier.parts():
                for event in parser.feed(data):
                    if (chunk := event.chunk()) is not None:
                        yield chunk
            await carrier.result()
        finally:
            carrier.hang_up()

    def _carry(self, flow: Flow[Answer]) -> Carrier[Answer]:
        carrier = Carrier(flow, self._world)
        self._live.add(carrier)
        carrier.task.add_done_callback(lambda _: self._live.discard(carrier))
        return carrier

    async def sweep(self) -> Swept:
        """See WwwserveClient.sweep."""
        return await run(sweep(self._payer), self._world)

    async def close(self) -> None:
        """Release connections and the wallet."""
        await asyncio.gather(*(carrier.kill() for carrier in self._live))
        await self._world.transport.close()
        self._world.wallet.close()
