"""Log-probabilities and a seed through the paid path: they reach the engine, come back whole, cost and hash nothing."""

import pytest

from node.core.assembly import choices_of_body
from node.core.choices import response_hash
from node.core.judging.substitution import TOLERANCES, Likeness, steps_of
from node.services.reexecution import Bought, Wish, requests_for, rerun
from tests.e2e.test_client_on_node import Customer, customer
from tests.lab.fixtures import CHAT, Lab, lab, open_lab, stream_receipt, tokens
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
    from node.adapters.engine.client import EngineSettings, HttpEngine

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


@pytest.mark.parametrize("listed", [21, -1])
async def test_logprobs__more_than_are_sold__are_refused_free_of_charge(lab: Lab, listed: int) -> None:
    assert (await lab.post(lab.body(logprobs=True, top_logprobs=listed))).status_code == 400
    assert await lab.charged() == 0
