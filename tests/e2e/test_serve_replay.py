"""Rule 9: an id is served once and charged once, however often it comes."""

import asyncio
import time
from dataclasses import replace

import pytest

from node.core.types import Seconds
from tests.lab.fixtures import Lab, lab, open_lab, tokens
from tests.lab.payer import receipt_of

__all__ = ["lab", "open_lab", "tokens"]


async def test_repeat__done__gets_the_stored_receipt_and_no_second_charge(lab: Lab) -> None:
    body = lab.body()
    headers = lab.headers(body)
    first = await lab.post(body, headers)
    again = await lab.post(body, headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_served")
    assert again.json()["retryable"] is False
    assert receipt_of(again.headers["payment-response"]) == receipt_of(first.headers["payment-response"])
    assert again.json()["payment"] == receipt_of(first.headers["payment-response"])
    lane = await lab.lane()
    assert lane is not None
    assert lane.count == 1
    assert len(lab.stub.received) == 1


async def test_repeat__after_start_by__still_finds_its_receipt(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    body = lab.body()
    headers = lab.headers(body)
    first = await lab.post(body, headers)
    parts = lab.node.serving._parts
    monkeypatch.setattr(type(parts.clock), "now", lambda _: time.time() + 1_000)
    again = await lab.post(body, headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_served")
    assert receipt_of(again.headers["payment-response"]) == receipt_of(first.headers["payment-response"])


async def test_repeat__while_running__is_told_to_wait(lab: Lab) -> None:
    lab.stub.order("ttft=0.6", 1)
    body = lab.body()
    headers = lab.headers(body)
    running = asyncio.create_task(lab.post(body, headers))
    await asyncio.sleep(0.2)
    again = await lab.post(body, headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "in_progress")
    assert again.json()["retryable"] is True
    assert again.headers["retry-after"] == "1"
    assert (await running).status_code == 200


async def test_same_id__other_terms__conflict(lab: Lab) -> None:
    body = lab.body()
    terms = lab.payer.terms(body, int(time.time()) + 60, 500)
    assert (await lab.post(body, {"PAYMENT-SIGNATURE": lab.payer.header(terms).decode()})).status_code == 200
    other = replace(terms, start_by=Seconds(terms.start_by + 1))
    reply = await lab.post(body, {"PAYMENT-SIGNATURE": lab.payer.header(other).decode()})
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "terms_conflict")
    assert "payment-response" not in reply.headers


async def test_same_terms__higher_ceiling__is_the_same_request(lab: Lab) -> None:
    body = lab.body()
    terms = lab.payer.terms(body, int(time.time()) + 60, 500)
    await lab.post(body, {"PAYMENT-SIGNATURE": lab.payer.header(terms).decode()})
    reply = await lab.post(body, {"PAYMENT-SIGNATURE": lab.payer.header(terms).decode()})
    assert reply.json()["error"]["code"] == "already_served"


async def test_twenty_at_once__one_id__is_served_once(lab: Lab) -> None:
    body = lab.body()
    headers = lab.headers(body)
    replies = await asyncio.gather(*(lab.post(body, headers) for _ in range(20)))
    assert sorted({reply.status_code for reply in replies}) == [200, 409]
    assert [reply.status_code for reply in replies].count(200) == 1
    lane = await lab.lane()
    assert lane is not None
    assert (lane.count, lane.reserved) == (1, 0)


async def test_hundred_at_once__cover_for_some__never_one_more(open_lab) -> None:
    lab = await open_lab(cover=1_000)
    lab.stub.order("tokens=3,ttft=0.3")
    bodies = [lab.body(content=f"words {number}") for number in range(60)]
    headers = [lab.headers(body, 100) for body in bodies]
    replies = await asyncio.gather(*(lab.post(b, h) for b, h in zip(bodies, headers, strict=True)))
    served = [reply for reply in replies if reply.status_code == 200]
    refused = {reply.json()["error"]["code"] for reply in replies if reply.status_code != 200}
    assert len(served) == 10
    assert refused == {"cover_too_low"}
