"""A node that sells a hostile executor's answers on: it never pays for what it cannot bill, and never lies for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from node.client.delivery import Meter
from node.core.billing import Ending, Prices, settle_outcome
from node.core.choices import response_hash
from node.core.types import ZERO32, Status, TokenCount
from node.core.wire import hex_of
from node.services.caller import StreamEnd
from tests.lab.fixtures import stream_receipt
from tests.net.lab import Net, NetNode, NodePlan, running_net, with_settings
from tests.net.test_offload import body, bought, buy, in_wallet

FRONT = NodePlan("front", engine=False, prices=(200_000, 600_000))
NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0}
USAGE_EVENT = b"data: " + orjson.dumps({"choices": [], "usage": NO_USAGE}) + b"\n\n"


@dataclass
class Market:
    """An honest node without an engine, its wallet, and the executor it buys from."""

    net: Net
    folder: Path

    @property
    def front(self) -> NetNode:
        return self.net.nodes["front"]

    @property
    def back(self) -> NetNode:
        return self.net.nodes["back"]

    def paid(self) -> list[int]:
        """The charges of all receipts that the front has taken."""
        return [row.charge for row in bought(self.folder, self.front)]

    def owed(self) -> int:
        """What the front's wallet has confirmed by what it got: nothing else is ever a reason to pay more."""
        return sum(purse.verified for purse in in_wallet(self.folder, self.front, lambda books: books.load_purses()))

    def findings(self) -> list[Any]:
        return [one["code"] for one in in_wallet(self.folder, self.front, lambda books: books.load_findings())]


@pytest_asyncio.fixture
async def market(tokens: Path, tmp_path: Path) -> AsyncIterator[Market]:
    async with running_net(tokens, tmp_path, [FRONT, NodePlan("back")]) as net:
        yield Market(net, tmp_path)


class Liar:
    """services.caller.Caller: what the caller gets is not what the node has signed for."""

    def __init__(self, caller: Any, events: Callable[[bytes], bytes], plain: Callable[[bytes], bytes]) -> None:
        self._caller = caller
        self._events = events
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caller, name)

    def write(self, block: bytes) -> Any:
        return self._caller.write(self._events(block))

    async def end_stream(self, end: StreamEnd) -> None:
        lied = replace(end, usage_event=end.usage_event and {**end.usage_event, "usage": NO_USAGE})
        await self._caller.end_stream(lied)

    async def answer(self, raw: bytes, receipt: Any) -> None:
        await self._caller.answer(self._plain(raw), receipt)


def corrupt(
    node: NetNode,
    events: Callable[[bytes], bytes] = lambda block: block,
    plain: Callable[[bytes], bytes] = lambda raw: raw,
) -> None:
    """From now on this node lies about usage, and whatever else is given."""
    honest = node.lab.serving.serve

    async def serve(path: str, header: bytes | None, caller: Any) -> None:
        await honest(path, header, Liar(caller, events, plain))

    node.lab.serving.serve = serve  # type: ignore[method-assign]


def without_usage(raw: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(raw), "usage": NO_USAGE})


@pytest.mark.parametrize("kind", ["stream", "plain"])
async def test_executor__says_that_nothing_was_used__the_client_pays_what_the_node_pays(
    market: Market, kind: str
) -> None:
    corrupt(market.back, plain=without_usage)
    reply = await buy(market.front, body(stream=kind == "stream"))
    assert reply.status_code == 200, reply.text
    ours = (
        stream_receipt(reply.text)["receipt"]["charge"] if kind == "stream" else reply.json()["usage"]["cost"]["charge"]
    )
    (theirs,) = market.paid()
    assert theirs > 0
    assert 0 <= theirs * 2 - int(ours) <= 1, "half the price per token, rounded up once on each side"


@pytest.mark.parametrize("end", [USAGE_EVENT, b"data: [DONE]\n\n"])
async def test_executor__answers_after_the_end__is_paid_for_nothing_that_is_not_sold(
    market: Market, end: bytes
) -> None:
    ends = [end]
    corrupt(market.back, lambda block: (ends.pop() if ends else b"") + block)
    reply = await buy(market.front, body(stream=True))
    assert reply.status_code == 502, reply.text
    assert reply.json()["payment"]["receipt"]["charge"] == "0"
    assert market.owed() == 0


async def test_executor__charges_the_prompt_for_an_answer_without_a_text__is_stopped(market: Market) -> None:
    market.back.stub.order("tokens=0")  # type: ignore[union-attr]

    closer = market.back.lab.serving.closer

    async def charged(admission: Any, quote: Any, relay: Any) -> Any:
        terms, answered = admission.terms, response_hash(admission.salt, relay.answer.choices())
        prices = Prices(terms.price_prompt, terms.price_completion, terms.max_price)
        word = closer._answers.hash_for(admission, Status.COMPLETE, answered)
        return settle_outcome(Ending.FINISHED, TokenCount(quote.prompt_tokens, 0), prices, answered, word)

    closer._outcome = charged  # type: ignore[method-assign]
    await buy(market.front, body(stream=True))
    assert market.findings() == ["charged_nothing"]
    assert market.owed() == 0


async def test_executor__plain_answer_that_only_a_lax_reader_reads__is_not_paid(market: Market) -> None:
    corrupt(market.back, plain=lambda raw: raw[:-1] + b',"odd":NaN}')
    reply = await buy(market.front, body())
    assert reply.status_code == 502, reply.text
    assert market.owed() == 0


def split(block: bytes) -> bytes:
    """Each text's event between the two halves of one array."""
    events = [event + b"\n\n" for event in block.split(b"\n\n") if event]
    return b"".join(b"data: [1\n\n" + one + b"data: 2]\n\n" if b'"delta"' in one else one for one in events)


def index_false(block: bytes) -> bytes:
    return block.replace(b'"index":0', b'"index":false').replace(b'"index": 0', b'"index":false')


@pytest.mark.parametrize("odd", [split, index_false])
async def test_executor__events_that_readers_read_differently__the_node_signs_for_what_its_client_got(
    market: Market, odd: Callable[[bytes], bytes]
) -> None:
    calls: list[bytes] = []
    # its first block is honest, so that the node's own answer has begun
    corrupt(market.back, lambda block: odd(block) if calls else calls.append(block) or block)
    market.back.stub.order("tokens=8,delay=0.02")  # type: ignore[union-attr]
    reply = await buy(market.front, body(stream=True))
    assert reply.status_code == 200, reply.text
    assert odd(b'data: {"index":0,"delta":1}\n\n') not in reply.content
    got = Meter()
    got.feed(reply.content)
    receipt = stream_receipt(reply.text)["receipt"]
    assert receipt["responseHash"] == hex_of(response_hash(ZERO32, got.assembler.choices()))
    assert receipt["status"] != Status.COMPLETE


async def refuse_in_words(caller: Any) -> None:
    """An error that looks like the client's own fault, as the first event."""
    caller.write(b'data: {"error": {"code": 400, "message": "pay at evil.example"}}\n\n')
    await caller.end_stream(StreamEnd(None, None, None))


async def comment_for_ever(caller: Any) -> None:
    for _ in range(200):
        if caller.is_gone:
            return
        caller.write(b": still thinking\n\n")
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("answer", [refuse_in_words, comment_for_ever])
async def test_executor__errors_or_comments_before_the_first_token__the_next_candidate_serves(
    tokens: Path, tmp_path: Path, answer: Callable[[Any], Any]
) -> None:
    front = replace(FRONT, config=with_settings(policy="paper"))
    async with running_net(tokens, tmp_path, [front, NodePlan("back"), NodePlan("spare")]) as net:
        asked: list[float] = []

        async def hostile(_path: str, _header: bytes | None, caller: Any) -> None:
            asked.append(time.monotonic())
            await caller.read_body()
            await answer(caller)

        net.nodes["back"].lab.serving.serve = hostile  # type: ignore[method-assign]
        for number in range(40):
            net.nodes["front"].routed.services.router.peers.records.clear()  # type: ignore[attr-defined]
            reply = await buy(net.nodes["front"], body(f"number {number}", stream=True))
            assert reply.status_code == 200, reply.text
            assert b"evil" not in reply.content
            assert b"still thinking" not in reply.content
            if asked:
                break
        assert asked, "the hostile one was never chosen"
