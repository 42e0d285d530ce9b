"""Log-probabilities and a seed through the paid path: they reach the engine, come back whole, cost and hash nothing."""

from pathlib import Path

import pytest
from aiohttp import web

from node.adapters.engine.client import EngineSettings, HttpEngine
from node.cli.reexecute import Source, _bought, read_saved, report
from node.client.carrier import World
from node.client.gateway.app import Gateway
from node.client.gateway.guard import Guard, load_api_key
from node.client.over_aiohttp import AiohttpTransport
from node.client.store import WalletWriter
from node.core.assembly import choices_of_body
from node.core.choices import response_hash
from node.core.judging.substitution import TOLERANCES, Likeness, steps_of
from node.services.reexecution import Bought, Wish, requests_for, rerun
from tests.e2e.test_client_on_node import Customer, customer
from tests.e2e.test_gateway import free_port
from tests.fakes.fake_node import FakeChain
from tests.lab.fixtures import CHAT, Lab, lab, open_lab, stream_receipt, tokens
from tests.lab.node import OPERATOR, PAYEE
from tests.lab.payer import receipt_of

__all__ = ["customer", "lab", "open_lab", "tokens"]
SEED = 77


async def test_logprobs__plain_and_stream__change_neither_charge_nor_hash(lab: Lab) -> None:
    lab.stub.order("tokens=12")
    bare = receipt_of((await lab.post(lab.body(seed=SEED))).headers["payment-response"])["receipt"]
    asked = lab.body(seed=SEED, logprobs=True, top_logprobs=3)
    plain = await lab.post(asked)
    streamed = await lab.post(lab.body(seed=SEED, logprobs=True, top_logprobs=3, stream=True))
    answer = plain.json()
    assert len(steps_of(answer)) == 12
    assert streamed.text.count('"top_logprobs"') == 12
    for receipt in (receipt_of(plain.headers["payment-response"]), stream_receipt(streamed.text)):
        one = receipt["receipt"]
        assert (one["responseHash"], one["charge"]) == (bare["responseHash"], bare["charge"])
    assert bare["responseHash"] == "0x" + response_hash(bytes(32), choices_of_body(answer)).hex()
    assert steps_of(answer)[0].listed


async def test_reexecution__of_an_answer_bought_and_verified__is_the_same_and_of_another_seed_is_not(
    lab: Lab, customer: Customer
) -> None:
    lab.stub.order("tokens=12")
    even, odd = requests_for(Wish("stub", ["how many words?"], 2, 12), lambda size: SEED.to_bytes(size, "big"))
    reference = HttpEngine(EngineSettings(lab.stub.base_url))
    for request in (even, odd):
        bought = await customer.client.complete(request)
        same = await rerun(reference, "stub", Bought(request, bought.body), TOLERANCES["exact"])
        assert (same.comparison.likeness, same.comparison.compared) == (Likeness.SAME, 12)
        other = Bought({**request, "seed": SEED + 1}, bought.body)
        assert (await rerun(reference, "stub", other, TOLERANCES["exact"])).comparison.likeness is not Likeness.SAME
    reference.close()
    assert customer.purse.verified == await lab.charged() > 0
    assert not customer.findings
    sent = [raw for path, _, raw in lab.stub.received if path == CHAT]
    assert all(f'"seed":{SEED}'.encode() in raw and b'"top_logprobs":20' in raw for raw in (sent[0], sent[3]))


async def test_command__through_the_gateway__buys_keeps_and_runs_again(
    lab: Lab, customer: Customer, tmp_path: Path
) -> None:
    """All of it: the command's purchases, the gateway that pays, the node, its engine; and the engine as reference."""
    lab.stub.order("tokens=12")
    key, questions, kept, port = tmp_path / "key", tmp_path / "questions", tmp_path / "kept", free_port()
    questions.write_text("how many words?\nwhich words?\n")
    guard = Guard(load_api_key(key), port)
    world = World(
        WalletWriter(customer.engine), FakeChain({(PAYEE, 1): OPERATOR.address}), AiohttpTransport(guard=False)
    )
    gateway = Gateway(customer.payer, world, guard, lambda: (lab.node.base_url,))
    runner = web.AppRunner(gateway.application(), handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        source = Source(f"http://127.0.0.1:{port}", key, questions, None, kept)
        bought = [one async for one in _bought(source, Wish("stub", (), 4, 12))]
    finally:
        await runner.cleanup()
        await gateway.close()
    reference = HttpEngine(EngineSettings(lab.stub.base_url))
    rows = [await rerun(reference, "stub", one, TOLERANCES["exact"]) for one in bought]
    reference.close()
    said = report(rows, "exact")
    assert (said["same"], said["answers"], len(read_saved(kept))) == (4, 4, 4)
    assert customer.purse.verified == await lab.charged() > 0


@pytest.mark.parametrize("listed", [21, -1])
async def test_logprobs__more_than_are_sold__are_refused_free_of_charge(lab: Lab, listed: int) -> None:
    assert (await lab.post(lab.body(logprobs=True, top_logprobs=listed))).status_code == 400
    assert await lab.charged() == 0
