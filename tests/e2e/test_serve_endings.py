"""Every row of the billing table, over HTTP: what went wrong with the engine or the caller, and what it cost."""

import asyncio
from dataclasses import replace

import httpx
import orjson
import pytest

from node.core.types import Status
from tests.lab.fixtures import Lab, LabMaker, events_of, lab, lane_of, open_lab, stream_receipt, tokens
from tests.lab.payer import receipt_of

__all__ = ["lab", "open_lab", "tokens"]


async def last_receipt(lab: Lab) -> dict:
    """Waits for it: a caller that hung up is gone before its receipt is made."""
    lane = "0x" + lab.payer.address.hex()
    for _ in range(100):
        page = (await lab.http.get("/v1/receipts", params={"payer": lane, "lane": lane})).json()["receipts"]
        if page:
            return page[-1]["receipt"]
        await asyncio.sleep(0.05)
    raise AssertionError("no receipt was made")


async def expect_nothing_reserved(lab: Lab) -> None:
    state = await lab.node.ledger.load_lane(lane_of(lab.payer))
    assert state is not None
    assert state.reserved == 0


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("fault=queue_full", 429, "overloaded"),
        ("fault=dead", 502, "engine_failed"),
        ("fault=status_500", 502, "engine_failed"),
        ("fault=unauthorized", 502, "engine_failed"),
        ("fault=not_found", 502, "engine_failed"),
        ("fault=hang", 502, "engine_failed"),
        ("fault=crash,after=0", 502, "engine_failed"),
    ],
)
@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_engine_fails_before_the_first_token__proper_status_and_a_receipt_of_nothing(
    lab: Lab, fault: str, status: int, code: str, mode: str
) -> None:
    lab.stub.order(fault)
    reply = await lab.post(lab.body(stream=mode == "stream"))
    document = reply.json()
    assert (reply.status_code, document["error"]["code"]) == (status, code), document
    assert document["retryable"] is True
    assert int(reply.headers["retry-after"]) >= 1
    receipt = receipt_of(reply.headers["payment-response"])["receipt"]
    assert (receipt["status"], receipt["charge"]) == (Status.FAILED, "0")
    await expect_nothing_reserved(lab)


async def test_engine_refuses_a_parameter__its_words_reach_the_caller_and_nothing_is_charged(lab: Lab) -> None:
    reply = await lab.post(lab.body(temperature=-1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "bad_request")
    assert "temperature" in reply.json()["error"]["message"]
    assert await lab.charged() == 0


@pytest.mark.parametrize(
    ("fault", "tokens_delivered"),
    [
        ("fault=crash,after=4", 3),
        ("fault=truncated,after=4", 3),
        ("fault=error_event,after=4", 3),
        ("fault=stall,after=4", 3),
        ("fault=no_done,tokens=5", 5),
    ],
)
async def test_engine_fails_after_the_first_token__partial_is_charged_and_said(
    lab: Lab, fault: str, tokens_delivered: int
) -> None:
    lab.stub.order(fault)
    reply = await lab.post(lab.body(stream=True))
    assert reply.status_code == 200
    events = events_of(reply.text)
    error = orjson.loads(events[-3][6:])
    assert error["error"]["code"] == "engine_failed"
    assert events[-1] == "data: [DONE]"
    receipt = stream_receipt(reply.text)["receipt"]
    assert (receipt["status"], receipt["completionTokens"]) == (Status.PARTIAL, tokens_delivered)
    assert int(receipt["charge"]) == await lab.charged() > 0
    await expect_nothing_reserved(lab)


async def test_plain_answer_cut_in_the_middle__is_an_error_and_free(lab: Lab) -> None:
    lab.stub.order("fault=truncated")
    reply = await lab.post(lab.body())
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "engine_failed")
    assert await lab.charged() == 0


async def test_plain_answer_that_is_not_json__is_an_error_and_free(lab: Lab) -> None:
    lab.stub.order("fault=garbage")
    reply = await lab.post(lab.body())
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "engine_failed")
    assert await lab.charged() == 0


async def test_garbage_inside_a_stream__is_not_counted_as_text(lab: Lab) -> None:
    lab.stub.order("fault=garbage,after=4")
    receipt = stream_receipt((await lab.post(lab.body(stream=True))).text)["receipt"]
    assert receipt["completionTokens"] <= 16


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_empty_answer__costs_nothing(lab: Lab, mode: str) -> None:
    lab.stub.order("tokens=0")
    reply = await lab.post(lab.body(stream=mode == "stream"))
    assert reply.status_code == 200
    receipt = (stream_receipt(reply.text) if mode == "stream" else receipt_of(reply.headers["payment-response"]))[
        "receipt"
    ]
    assert (receipt["status"], receipt["charge"], receipt["promptTokens"]) == (Status.FAILED, "0", 0)


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        ("fault=huge_usage,tokens=8", 8),
        ("fault=no_usage,tokens=8", 8),
        ("fault=negative_usage,tokens=8", 8),
    ],
)
@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_engine_lies_about_usage__the_recount_bounds_the_bill(
    lab: Lab, fault: str, billed: int, mode: str
) -> None:
    lab.stub.order(fault)
    reply = await lab.post(lab.body(stream=mode == "stream"))
    receipt = (stream_receipt(reply.text) if mode == "stream" else receipt_of(reply.headers["payment-response"]))[
        "receipt"
    ]
    assert (receipt["status"], receipt["completionTokens"]) == (Status.COMPLETE, billed)


@pytest.mark.parametrize("mode", ["plain", "stream"])
async def test_more_text_than_the_engine_counted__usage_bounds_the_bill(lab: Lab, mode: str) -> None:
    lab.stub.order("fault=extra_text,tokens=8")
    options = {"stream": True, "stream_options": {"include_usage": True}} if mode == "stream" else {}
    reply = await lab.post(lab.body(**options))
    if mode == "stream":
        usage, receipt = orjson.loads(events_of(reply.text)[-3][6:])["usage"], stream_receipt(reply.text)["receipt"]
    else:
        usage, receipt = reply.json()["usage"], receipt_of(reply.headers["payment-response"])["receipt"]
    assert receipt["completionTokens"] == usage["completion_tokens"]


async def test_nan_usage__plain__is_garbage(lab: Lab) -> None:
    lab.stub.order("fault=nan_usage")
    reply = await lab.post(lab.body())
    assert (reply.status_code, await lab.charged()) == (502, 0)


async def test_caller_hangs_up_before_the_first_token__free_and_the_engine_is_stopped(lab: Lab) -> None:
    lab.stub.order("ttft=30")
    with pytest.raises(httpx.ReadTimeout):
        await lab.http.post(
            "/v1/chat/completions", content=(body := lab.body()), headers=lab.headers(body), timeout=0.3
        )
    receipt = await last_receipt(lab)
    assert (receipt["status"], receipt["charge"]) == (Status.CANCELLED, "0")
    await asyncio.sleep(0.2)
    assert lab.stub.counts["running"] == 0
    await expect_nothing_reserved(lab)


async def test_caller_hangs_up_after_some_tokens__what_had_come_is_charged(lab: Lab) -> None:
    lab.stub.order("tokens=200,delay=0.05")
    body = lab.body(stream=True, max_tokens=300)
    seen = b""
    async with lab.http.stream("POST", "/v1/chat/completions", content=body, headers=lab.headers(body)) as reply:
        async for block in reply.aiter_bytes():
            seen += block
            if seen.count(b"\n\n") >= 6:
                break
    receipt = await last_receipt(lab)
    assert receipt["status"] == Status.CANCELLED
    assert 4 <= receipt["completionTokens"] < 20
    assert int(receipt["charge"]) == await lab.charged() > 0
    await asyncio.sleep(0.2)
    assert lab.stub.counts["running"] == 0


async def test_early_hangups__beyond_the_payers_patience__are_refused_for_a_while(open_lab: LabMaker) -> None:
    lab = await open_lab()
    lab.node.serving._patience._limit = 1
    lab.stub.order("ttft=30", 1)
    with pytest.raises(httpx.ReadTimeout):
        await lab.http.post(
            "/v1/chat/completions", content=(body := lab.body()), headers=lab.headers(body), timeout=0.3
        )
    await last_receipt(lab)
    reply = await lab.post(lab.body())
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "overloaded")
    assert int(reply.headers["retry-after"]) > 1


async def test_answers_made_empty__beyond_the_payers_patience__are_refused_for_a_while(open_lab: LabMaker) -> None:
    lab = await open_lab()
    lab.node.serving._patience._limit = 2
    lab.stub.order("tokens=0", 3)
    replies = [await lab.post(lab.body(stream=stream)) for stream in (True, False, True)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert await lab.charged() == 0


async def test_engine_down__another_one_serves(open_lab: LabMaker) -> None:
    lab = await open_lab()
    good = lab.node.engines[0]
    bad = type(good)(replace(good.settings, url="http://127.0.0.1:9"))
    backends = lab.node.serving._parts.backends._by_model["stub"]
    backends.insert(0, replace(backends[0], engine=bad))
    for _ in range(3):
        assert (await lab.post(lab.body())).status_code == 200


async def test_engine_down__alone__is_an_engine_failure(open_lab: LabMaker) -> None:
    lab = await open_lab(engines=("http://127.0.0.1:9",))
    reply = await lab.post(lab.body())
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "engine_failed")
    assert (await lab.http.get("/readyz")).status_code == 503
