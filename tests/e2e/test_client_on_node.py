"""The client against the product's own node (stub engine): both sides agree on every count, hash and total."""

import asyncio
import contextlib
import time

import pytest

from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.tokens.counter import HfTokenCounter
from node.client.client import AsyncWwwserveClient
from node.client.exchange import NodeRefused
from node.client.payer import Payer, Tools
from node.client.pins import ANY_MODEL, Pin
from node.client.store import Wallet, open_engine
from node.client.wallet import Limits
from node.core.errors import NotOffered, WwwserveError
from node.core.types import Amount
from tests.fakes.fake_node import FakeChain
from tests.fakes.payers import make_dice
from tests.lab.fixtures import COMPLETION, Lab, lab, open_lab, tokens
from tests.lab.node import CURRENCY, DOMAIN, OPERATOR, PAYEE

__all__ = ["lab", "open_lab", "tokens"]
ASK = {"model": "stub", "messages": [{"role": "user", "content": "Grüße, how many words? 💶"}], "max_tokens": 40}
LIMITS = Limits(Amount(50_000), Amount(2_000), Amount(10**9))


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Customer:
    """A client on the lab's node with the lab's funded key."""

    def __init__(self, lab: Lab, folder, seed="dice", limits=LIMITS) -> None:
        signer = LocalSigner(Secret(b"\x01" * 32))
        model = lab.node.offer.models[0]
        pins = {ANY_MODEL: frozenset({Pin(model.tokenizer, model.template)})}
        tools = Tools(RealClock(), make_dice(seed), recover, HfTokenCounter)
        self.payer = Payer(signer.address, (signer,), DOMAIN, CURRENCY, limits, pins, tools)
        self.engine = open_engine(folder / "wallet.db")
        chain = FakeChain({(PAYEE, 1): OPERATOR.address})
        self.client = AsyncWwwserveClient(self.payer, [lab.node.base_url], self.engine, chain)

    @property
    def purse(self):
        (purse,) = Wallet(self.engine).run(lambda b: b.load_purses())
        return purse

    @property
    def findings(self):
        return Wallet(self.engine).run(lambda b: b.load_findings())

    async def text(self, **changes) -> str:
        chunks = [chunk async for chunk in self.client.stream({**ASK, **changes})]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


async def settled(customer) -> None:
    """Wait until every outcome is known."""
    for _ in range(100):
        if not customer.purse.in_flight:
            return
        await asyncio.sleep(0.1)


@pytest.fixture
async def customer(lab, tmp_path):
    customer = Customer(lab, tmp_path / "client")
    yield customer
    await customer.client.close()
    customer.engine.dispose()


@pytest.mark.parametrize("tokens_asked", [1, 16, 40])
async def test_plain__any_length__is_recounted_and_verified(lab, customer, tokens_asked):
    lab.stub.order(f"tokens={tokens_asked}")
    answer = await customer.client.complete(ASK)
    assert answer.body["usage"]["cost"]["charge"] == str(answer.receipt.charge)
    assert customer.purse.verified == answer.receipt.charge == await lab.charged() > 0
    assert not customer.findings


async def test_completion_route__is_recounted_and_verified(lab, customer):
    await customer.client.complete({"model": "stub", "prompt": "one two", "max_tokens": 9}, COMPLETION)
    assert customer.purse.verified == await lab.charged() > 0


async def test_stream__is_recounted_and_verified(lab, customer):
    lab.stub.order("tokens=25")
    assert await customer.text()
    assert customer.purse.verified == await lab.charged() > 0
    chunks = [chunk async for chunk in customer.client.stream({**ASK, "stream_options": {"include_usage": True}})]
    assert chunks[-1]["usage"]["cost"]["cumulative"] == str(await lab.charged())


async def test_many__in_flight_on_one_lane__books_of_both_sides_agree(lab, customer):
    await asyncio.gather(*(customer.text() for _ in range(24)))
    purse, lane = customer.purse, await lab.lane()
    assert (purse.verified, purse.in_flight, purse.ceiling) == (lane.charged, 0, lane.best)
    assert lane.count >= 24  # a busy engine may have failed some early, free of charge


async def test_hang_up__books_of_both_sides_agree_in_the_end(lab, customer):
    lab.stub.order("tokens=40,delay=0.03")
    chunks = customer.client.stream(ASK)
    await anext(chunks)
    await chunks.aclose()
    await settled(customer)
    assert customer.purse.explained == await lab.charged()
    assert not customer.findings


async def test_wallet_lost__starts_again_from_what_the_node_can_prove(lab, customer, tmp_path):
    for _ in range(3):
        await customer.client.complete(ASK)
    fresh = Customer(lab, tmp_path / "fresh", seed="other dice")
    answer = await fresh.client.complete(ASK)
    assert fresh.purse.verified == answer.receipt.cumulative == await lab.charged()
    assert fresh.purse.base > 0
    await fresh.client.close()
    fresh.engine.dispose()


async def test_refused_body__nodes_words_come_through_and_nothing_hangs(lab, customer):
    with pytest.raises(NotOffered):
        await customer.client.complete({**ASK, "messages": [{"role": "tool", "content": "x"}]})
    with pytest.raises(NodeRefused) as caught:
        await customer.client.complete({**ASK, "n": 2})
    assert caught.value.said.code == "not_offered"
    assert customer.purse.in_flight == 0


FAULTS = [
    *("dead", "status_500", "not_found", "hang", "stall", "crash", "truncated", "error_event", "no_done", "garbage"),
    *("nan_usage", "negative_usage", "huge_usage", "no_usage", "extra_text"),
]


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_engine_fault__whatever_it_is__both_books_agree_and_nobody_is_accused(lab, customer, fault, kind):
    lab.stub.order(f"tokens=20,after=5,fault={fault}", 1)
    with contextlib.suppress(WwwserveError):
        await (customer.client.complete(ASK) if kind == "plain" else customer.text())
    await settled(customer)
    assert customer.purse.explained == await lab.charged()
    assert not customer.findings
    before = customer.purse.verified
    await customer.client.complete(ASK)
    assert customer.purse.verified > before
