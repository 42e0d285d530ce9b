"""Bad input gets a clear OpenAI-shaped error; nothing is lost, nothing is charged, the engine hears nothing."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from node.core.hashing import Domain, keccak
from node.core.messages import Voucher
from node.core.types import ZERO32, Address, Amount, Seconds
from tests.factories import sign
from tests.lab.fixtures import COMPLETION, Lab, LabMaker, lab, open_lab, tokens
from tests.lab.node import DOMAIN, PAYEE
from tests.lab.payer import LabPayer, payment_header

__all__ = ["lab", "open_lab", "tokens"]


def soon() -> Seconds:
    return Seconds(int(time.time()) + 60)


async def expect_refusal(lab: Lab, body: bytes, headers: dict[str, str], status: int, code: str) -> dict:
    before = await lab.charged()
    reply = await lab.post(body, headers)
    document = reply.json()
    assert (reply.status_code, document["error"]["code"]) == (status, code), document
    assert set(document["error"]) == {"message", "type", "code", "param"}
    assert isinstance(document["retryable"], bool)
    lane = await lab.lane()
    assert (lane.charged if lane else 0) == before
    assert not lane or lane.reserved == 0
    assert not lab.stub.received
    return document | {"_headers": reply.headers}


async def test_no_payment__gets_the_price_in_body_and_header(lab: Lab) -> None:
    body = lab.body(max_tokens=100)
    document = await expect_refusal(lab, body, {}, 402, "missing_payment")
    (accepted,) = document["accepts"]
    assert (accepted["scheme"], accepted["network"]) == ("ceiling", "eip155:31337")
    assert accepted["payTo"] == "0x" + PAYEE.hex()
    assert int(accepted["amount"]) > 100 * 300_000 // 1_000_000
    header = orjson.loads(base64.b64decode(document["_headers"]["payment-required"]))
    assert header["accepts"] == document["accepts"]
    assert (await lab.post(body, lab.headers(body, int(accepted["amount"])))).status_code == 200


async def test_no_payment__long_prompt__is_priced_by_its_bytes_without_counting(open_lab: LabMaker) -> None:
    lab = await open_lab(context_length=100_000)
    body = lab.body(content="word " * 10_000, max_tokens=1)
    document = await expect_refusal(lab, body, {}, 402, "missing_payment")
    assert int(document["accepts"][0]["amount"]) == -(-(len(body) * 100_000 + 300_000) // 1_000_000)


def _not_base64(_: Lab, __: bytes) -> bytes:
    return b"%%%"


def _not_json(_: Lab, __: bytes) -> bytes:
    return base64.b64encode(b"{")


def _too_long(_: Lab, __: bytes) -> bytes:
    return base64.b64encode(b" " * 20_000)


def _extra_member(lab: Lab, body: bytes) -> bytes:
    document = orjson.loads(base64.b64decode(lab.payer.header(lab.payer.terms(body, soon(), 100))))
    document["payload"]["voucher"]["tip"] = "1"
    return base64.b64encode(orjson.dumps(document))


def _foreign_network(lab: Lab, body: bytes) -> bytes:
    payer = LabPayer(Domain.of(1, DOMAIN.escrow), PAYEE, lab.node.offer)
    return payer.header(payer.terms(body, soon(), 100))


@pytest.mark.parametrize("make", [_not_base64, _not_json, _too_long, _extra_member, _foreign_network])
async def test_malformed_voucher__is_a_bad_voucher(lab: Lab, make: Callable[[Lab, bytes], bytes]) -> None:
    body = lab.body()
    headers = {"PAYMENT-SIGNATURE": make(lab, body).decode()}
    await expect_refusal(lab, body, headers, 400, "bad_voucher")


async def test_voucher_of_another_chain__under_our_network_name__recovers_to_a_stranger(lab: Lab) -> None:
    body = lab.body()
    payer = LabPayer(DOMAIN, PAYEE, lab.node.offer)
    terms = payer.terms(body, soon(), 100)
    voucher = Voucher(payer.address, PAYEE, 1, Amount(1_000), terms.struct_hash())
    foreign = Domain.of(1, DOMAIN.escrow)
    signature = sign(payer.key, foreign.digest(voucher.struct_hash()))
    header = payment_header(DOMAIN, voucher, signature, terms, ZERO32)
    await expect_refusal(lab, body, {"PAYMENT-SIGNATURE": header.decode()}, 402, "wrong_signature")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payee": Address(b"\x01" * 20)}, "wrong_payee"),
        ({"generation": 9}, "stale_generation"),
        ({"generation": 0}, "stale_generation"),
        ({"context": keccak(b"other terms")}, "wrong_terms"),
    ],
)
async def test_voucher_that_buys_elsewhere__says_what_to_change(lab: Lab, changes: dict, code: str) -> None:
    body = lab.body()
    header = lab.payer.header(lab.payer.terms(body, soon(), 100), **changes)
    document = await expect_refusal(lab, body, {"PAYMENT-SIGNATURE": header.decode()}, 402, code)
    assert document["accepts"][0]["extra"]["generation"] == 1
    assert int(document["accepts"][0]["amount"]) > 0


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"start_by": Seconds(int(time.time()) - 400)}, 402, "stale_terms"),
        ({"start_by": Seconds(int(time.time()) + 40_000)}, 402, "stale_terms"),
        ({"price_completion": Amount(1)}, 402, "wrong_terms"),
        ({"offer_hash": keccak(b"an old offer")}, 402, "wrong_terms"),
        ({"tokenizer": keccak(b"another tokenizer")}, 402, "wrong_terms"),
        ({"request_hash": keccak(b"another body")}, 402, "wrong_terms"),
        ({"max_price": Amount(1)}, 402, "price_too_low"),
        ({"mode": 1}, 400, "not_offered"),
        ({"model": keccak(b"another model")}, 404, "unknown_model"),
    ],
)
async def test_terms_that_differ__are_refused_by_name(lab: Lab, changes: dict, status: int, code: str) -> None:
    body = lab.body()
    terms = replace(lab.payer.terms(body, soon(), 100), **changes)
    await expect_refusal(lab, body, {"PAYMENT-SIGNATURE": lab.payer.header(terms).decode()}, status, code)


async def test_ceiling_too_low__tells_the_shortfall(lab: Lab) -> None:
    body = lab.body()
    header = lab.payer.header(lab.payer.terms(body, soon(), 500), ceiling=Amount(420))
    document = await expect_refusal(lab, body, {"PAYMENT-SIGNATURE": header.decode()}, 402, "ceiling_too_low")
    assert document["shortfall"] == "80"
    assert document["accepts"][0]["extra"]["shortfall"] == "80"


async def test_cover_too_low__tells_what_is_left(open_lab: LabMaker) -> None:
    lab = await open_lab(cover=300)
    body = lab.body()
    document = await expect_refusal(lab, body, lab.headers(body, 500), 402, "cover_too_low")
    assert document["accepts"][0]["extra"]["coverLeft"] == "300"


async def test_two_payment_headers__are_refused(lab: Lab) -> None:
    body = lab.body()
    header = lab.headers(body)["PAYMENT-SIGNATURE"]
    reply = await lab.http.post(
        "/v1/chat/completions", content=body, headers=[("PAYMENT-SIGNATURE", header), ("Payment-Signature", header)]
    )
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "PAYMENT-SIGNATURE")


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"n": 2}, 400, "not_offered", "n"),
        ({"best_of": 3}, 400, "not_offered", "best_of"),
        ({"echo": True}, 400, "not_offered", "echo"),
        ({"use_beam_search": True}, 400, "not_offered", "use_beam_search"),
        ({"prompt_logprobs": 5}, 400, "not_offered", "prompt_logprobs"),
        ({"tools": [{"type": "function"}]}, 400, "not_offered", "tools"),
        ({"chat_template": "{{ x }}"}, 400, "not_offered", "chat_template"),
        ({"something_new": 1}, 400, "not_offered", "something_new"),
        ({"top_logprobs": 200}, 400, "not_offered", "top_logprobs"),
        ({"stream_options": {"x": 1}}, 400, "not_offered", "stream_options"),
        ({"max_tokens": 0}, 400, "bad_request", "max_tokens"),
        ({"max_tokens": "many"}, 400, "bad_request", "max_tokens"),
        ({"stream": "yes"}, 400, "bad_request", "stream"),
        ({"messages": []}, 400, "bad_request", "messages"),
        ({"messages": ["hi"]}, 400, "bad_request", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "not_offered", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "not_offered", "messages"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": [1]}]}, 400, "not_offered", "messages"),
        ({"model": 7}, 400, "bad_request", "model"),
        ({"model": "gpt-4"}, 402, "wrong_terms", None),
    ],
)
async def test_parameters__that_cannot_be_priced__are_refused_by_name(
    lab: Lab, fields: dict, status: int, code: str, param: str | None
) -> None:
    body = lab.body(**fields)
    document = await expect_refusal(lab, body, lab.headers(body), status, code)
    assert document["error"]["param"] == param


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"model":"stub","x":NaN}', b'"\xff"'])
async def test_bad_json__is_a_bad_request(lab: Lab, body: bytes) -> None:
    await expect_refusal(lab, body, lab.headers(body), 400, "bad_request")


async def test_prompt_list__is_refused_on_the_completion_route(lab: Lab) -> None:
    body = orjson.dumps({"model": "stub", "prompt": ["one", "two"]})
    reply = await lab.post(body, path=COMPLETION)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "not_offered")


async def test_over_long_prompt__says_what_fits(lab: Lab) -> None:
    body = lab.body(content="word " * 3_000)
    document = await expect_refusal(lab, body, lab.headers(body), 400, "prompt_too_long")
    assert document["prompt_tokens"] > document["context_length"] == 2048


async def test_unknown_model_without_payment__is_still_told_the_price_of_nothing(lab: Lab) -> None:
    document = await expect_refusal(lab, lab.body(model="gpt-4"), {}, 402, "missing_payment")
    assert document["accepts"][0]["amount"] == "0"


async def test_unknown_route__has_the_error_shape(lab: Lab) -> None:
    reply = await lab.http.get("/v1/nothing")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert (await lab.http.get("/v1/chat/completions")).json()["error"]["type"] == "invalid_request_error"
