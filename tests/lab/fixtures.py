"""pytest fixtures over the lab: import `lab` (and `tokens`) into a test module to use them."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from node.adapters.engine.client import EngineSettings
from node.core.account import LaneState
from tests.fakes.engine_stub import EngineStub, StubSettings, running_stub
from tests.fakes.tiny_tokenizer import build
from tests.lab.node import COVER, LabNode, LabOptions, lane_of, running_node
from tests.lab.payer import LabPayer, receipt_of

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


@dataclass
class Lab:
    """A node with its stub engine, and a payer with a plain HTTP client."""

    node: LabNode
    stub: EngineStub
    payer: LabPayer
    http: httpx.AsyncClient

    def body(self, *, content: str = "how many words", **fields: Any) -> bytes:
        chat = {"model": "stub", "messages": [{"role": "user", "content": content}], **fields}
        return orjson.dumps({name: value for name, value in chat.items() if value is not ...})

    def headers(self, body: bytes, max_price: int = 2_000) -> dict[str, str]:
        return self.payer.pay(body, int(time.time()) + 60, max_price)

    async def post(self, body: bytes, headers: dict[str, str] | None = None, path: str = CHAT) -> httpx.Response:
        """Paid unless headers are given."""
        return await self.http.post(path, content=body, headers=self.headers(body) if headers is None else headers)

    async def lane(self) -> LaneState | None:
        return await self.node.ledger.load_lane(lane_of(self.payer))

    async def charged(self) -> int:
        lane = await self.lane()
        return lane.charged if lane else 0


def events_of(text: str) -> list[str]:
    return [event for event in text.split("\n\n") if event]


def stream_receipt(text: str) -> dict[str, Any]:
    (comment,) = [event for event in events_of(text) if event.startswith(": wwwserve-receipt ")]
    return receipt_of(comment.removeprefix(": wwwserve-receipt "))


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("tokens"))


class LabMaker:
    """Opens labs with options and closes them at the test's end."""

    def __init__(self, tokens: Path, folder: Path, stack: AsyncExitStack) -> None:
        self._tokens, self._folder, self._stack = tokens, folder, stack

    async def __call__(self, *, cover: int = COVER, engines: tuple[str, ...] | None = None, **options: Any) -> Lab:
        files = {"tokenizer": self._tokens / "tokenizer.json", "template": self._tokens / "chat_template.jinja"}
        stub = await self._stack.enter_async_context(running_stub(StubSettings(**files)))
        options.setdefault("engine", EngineSettings("", first_byte_seconds=1.0, idle_seconds=1.0))
        lab_options = LabOptions(self._tokens, self._folder / "node.db", engines or (stub.base_url,), **options)
        node = await self._stack.enter_async_context(running_node(lab_options, cover=cover))
        http = await self._stack.enter_async_context(httpx.AsyncClient(base_url=node.base_url, timeout=20))
        return Lab(node, stub, node.payer(), http)


@pytest_asyncio.fixture
async def open_lab(tokens: Path, tmp_path: Path) -> AsyncIterator[LabMaker]:
    async with AsyncExitStack() as stack:
        yield LabMaker(tokens, tmp_path, stack)


@pytest_asyncio.fixture
async def lab(open_lab: LabMaker) -> Lab:
    return await open_lab()
