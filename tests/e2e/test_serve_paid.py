"""Paid answers over HTTP: what the caller gets, what it was charged, what the engine was told."""

import orjson
import pytest
from openai import AsyncOpenAI

from node.adapters.keys import recover
from node.core.assembly import choices_of_body
from node.core.choices import response_hash
from node.core.messages import Receipt
from node.core.types import ZERO32
from node.core.wire import message_from_json, signature_of
from tests.lab.fixtures import COMPLETION, Lab, events_of, lab, open_lab, stream_receipt, tokens
from tests.lab.node import CURRENCY, DOMAIN, OPERATOR
from tests.lab.payer import receipt_of

__all__ = ["lab", "open_lab", "tokens"]


def checked(document: dict) -> Receipt:
    receipt = message_from_json(Receipt, document["receipt"])
    assert recover(DOMAIN.digest(receipt.struct_hash()), signature_of(document["signature"])) == OPERATOR.address
    return receipt


async def test_chat__plain__is_answered_charged_and_receipted(lab: Lab) -> None:
    lab.stub.order("tokens=16")
    body = lab.body(max_tokens=40)
    reply = await lab.post(body)
    assert reply.status_code == 200
    answer = reply.json()
    receipt = checked(receipt_of(reply.headers["payment-response"]))
    assert receipt.response_hash == response_hash(ZERO32, choices_of_body(answer))
    assert (receipt.status, receipt.completion_tokens) == (1, 16)
    assert receipt.prompt_tokens == answer["usage"]["prompt_tokens"]
    exact = receipt.prompt_tokens * 100_000 + receipt.completion_tokens * 300_000
    assert receipt.charge == -(-exact // 1_000_000)
    assert answer["usage"]["cost"] == {
        "charge": str(receipt.charge),
        "cumulative": str(receipt.cumulative),
        "currency": "0x" + CURRENCY.hex(),
        "request_id": "0x" + receipt.request_id.hex(),
    }
    lane = await lab.lane()
    assert lane is not None
    assert (lane.charged, lane.reserved, lane.count) == (receipt.charge, 0, 1)


async def test_chat__stream__passes_events_then_the_receipt_then_done(lab: Lab) -> None:
    lab.stub.order("tokens=9")
    reply = await lab.post(lab.body(stream=True))
    events = events_of(reply.text)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert events[-1] == "data: [DONE]"
    assert events[-2].startswith(": wwwserve-receipt ")
    assert not any('"usage"' in event for event in events)
    chunks = [orjson.loads(event[6:]) for event in events[:-2]]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    receipt = checked(stream_receipt(reply.text))
    assert (receipt.status, receipt.completion_tokens) == (1, 9)


async def test_chat__stream_with_usage__carries_the_cost_there(lab: Lab) -> None:
    reply = await lab.post(lab.body(stream=True, stream_options={"include_usage": True}))
    usage = orjson.loads(events_of(reply.text)[-3][6:])
    receipt = checked(stream_receipt(reply.text))
    assert usage["choices"] == []
    assert usage["usage"]["cost"]["charge"] == str(receipt.charge)


async def test_stream_and_plain__same_answer__have_the_same_hash(lab: Lab) -> None:
    lab.stub.order("tokens=12")
    plain = checked(receipt_of((await lab.post(lab.body(seed=4))).headers["payment-response"]))
    streamed = checked(stream_receipt((await lab.post(lab.body(seed=4, stream=True))).text))
    assert plain.response_hash == streamed.response_hash
    assert plain.charge == streamed.charge
    assert streamed.cumulative == plain.charge * 2


async def test_completion__plain_and_stream__are_served(lab: Lab) -> None:
    body = orjson.dumps({"model": "stub", "prompt": "one more", "max_tokens": 5})
    reply = await lab.post(body, path=COMPLETION)
    receipt = checked(receipt_of(reply.headers["payment-response"]))
    assert reply.json()["choices"][0]["text"]
    assert (receipt.status, receipt.completion_tokens) == (1, 5)
    body = orjson.dumps({"model": "stub", "prompt": "one more", "max_tokens": 5, "stream": True})
    streamed = checked(stream_receipt((await lab.post(body, path=COMPLETION)).text))
    assert streamed.response_hash == receipt.response_hash


async def test_upstream__client_headers_and_identity__do_not_reach_the_engine(lab: Lab) -> None:
    body = lab.body(user="alice", metadata={"who": "alice"}, max_completion_tokens=7, stream=True)
    headers = {**lab.headers(body), "X-Request-Id": "mine-mine", "Authorization": "Bearer secret"}
    assert (await lab.post(body, headers)).status_code == 200
    _, sent_headers, sent = lab.stub.received[-1]
    assert "mine-mine" not in str(sent_headers)
    assert "secret" not in str(sent_headers)
    assert b"alice" not in sent
    fields = orjson.loads(sent)
    assert fields["max_tokens"] == 7
    assert fields["stream_options"] == {"include_usage": True}
    assert "max_completion_tokens" not in fields


async def test_upstream__max_price__bounds_what_the_engine_may_generate(lab: Lab) -> None:
    body = lab.body(max_tokens=400)
    reply = await lab.post(body, lab.headers(body, max_price=10))
    prompt = reply.json()["usage"]["prompt_tokens"]
    assert orjson.loads(lab.stub.received[-1][2])["max_tokens"] == (10_000_000 - prompt * 100_000) // 300_000
    assert int(reply.json()["usage"]["cost"]["charge"]) <= 10


async def test_content_parts__text_only__are_joined_as_they_are_counted(lab: Lab) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = orjson.dumps({"model": "stub", "messages": [{"role": "user", "content": parts}], "max_tokens": 3})
    reply = await lab.post(body)
    receipt = checked(receipt_of(reply.headers["payment-response"]))
    assert orjson.loads(lab.stub.received[-1][2])["messages"] == [{"role": "user", "content": "one\ntwo"}]
    assert receipt.prompt_tokens == reply.json()["usage"]["prompt_tokens"]


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_openai_package__with_a_payment_header__reads_answer_and_survives_the_comment(
    lab: Lab, mode: str
) -> None:
    client = AsyncOpenAI(base_url=lab.node.base_url + "/v1", api_key="unused", max_retries=0)

    async def pay(request) -> None:
        request.headers.update(lab.headers(request.content))

    client._client.event_hooks["request"] = [pay]
    messages = [{"role": "user", "content": "there was one"}]
    if mode == "stream":
        stream = await client.chat.completions.create(
            model="stub", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert chunks[-1].usage.cost["charge"] == str(await lab.charged())
    else:
        answer = await client.chat.completions.create(model="stub", messages=messages)
        assert answer.choices[0].message.content
        assert answer.usage.cost["charge"] == str(await lab.charged())
    await client.close()
