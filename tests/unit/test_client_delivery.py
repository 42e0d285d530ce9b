"""A stream cut at every single byte is reported as incomplete (threat H6); only the whole one ends with [DONE]."""

import base64
import json
from dataclasses import replace

import pytest

from node.client.delivery import DONE_EVENT, AnswerCut, Meter, deal_stream
from node.client.effects import Compute, Emit, Fetch, InWallet, Read, Reply
from node.client.provider import Directory
from node.client.quote import Ask
from node.client.trade import Trade
from node.client.wallet import Purse
from node.client.x402 import SignedReceipt
from node.core.choices import Choice, response_hash
from node.core.pricing import charge_of
from node.core.types import Amount, Status, TokenCount
from tests.fakes.fake_node import DOMAIN, WordCounter, make_signer
from tests.fakes.payers import make_payer
from tests.unit.test_client_wallet import KEY, make_purchase, make_receipt

OPERATOR = make_signer("operator")
TEXTS = ["word", " Grüße", " 💶", " end"]
PURCHASE = make_purchase(1_000)


def chunk(**delta) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, **delta}]}, ensure_ascii=False).encode() + b"\n\n"


def signed_receipt(status=Status.COMPLETE) -> SignedReceipt:
    tokens = TokenCount(PURCHASE.prompt_tokens, len(TEXTS))
    charge = charge_of(tokens, PURCHASE.terms.price_prompt, PURCHASE.terms.price_completion)
    receipt = replace(
        make_receipt(),
        context=PURCHASE.terms.struct_hash(),
        response_hash=response_hash(PURCHASE.salt, [Choice(0, "".join(TEXTS), "stop")]),
        completion_tokens=len(TEXTS),
        status=int(status),
        charge=Amount(charge),
        cumulative=Amount(charge),
    )
    return SignedReceipt(receipt, OPERATOR.sign(DOMAIN.digest(receipt.struct_hash())))


CONTENT = b"".join([*(chunk(delta={"content": text}) for text in TEXTS), chunk(delta={}, finish_reason="stop")])
COMMENT = b": wwwserve-receipt " + base64.b64encode(json.dumps(signed_receipt().to_json()).encode()) + b"\n\n"
WHOLE = CONTENT + COMMENT + DONE_EVENT


def make_trade() -> Trade:
    ask = Ask("/v1/chat/completions", b"{}", {"model": "m", "stream": True})
    purse = Purse(KEY)
    return Trade(ask, make_payer(), Directory(), "http://node", OPERATOR.address, PURCHASE, purse, WordCounter())


def deliver(pieces: list[bytes]) -> bytes:
    """Drive the flow by hand: no network, no wallet. Returns what was passed on."""
    flow, waiting, passed = deal_stream(make_trade(), Meter()), list(pieces), b""
    effect = flow.send(None)
    while True:
        result: object = None
        match effect:
            case Read():
                result = waiting.pop(0) if waiting else b""
            case Emit(data):
                passed += data
            case Compute(work, _):
                result = work()
            case Fetch():
                result = Reply(404, {}, b"{}")
            case InWallet():
                result = Purse(KEY)
        try:
            effect = flow.send(result)
        except StopIteration:
            return passed


@pytest.mark.parametrize("step", [1, 3, 50, len(WHOLE)])
def test_deal_stream__whole_in_any_pieces__ends_with_done(step):
    pieces = [WHOLE[at : at + step] for at in range(0, len(WHOLE), step)]
    assert deliver(pieces) == CONTENT + DONE_EVENT


def test_deal_stream__cut_at_every_byte__is_always_reported():
    silent = []
    for cut in range(len(WHOLE) - 1):
        try:
            passed = deliver([WHOLE[:cut]])
        except AnswerCut:
            continue
        silent.append((cut, passed[-30:]))
    assert not silent


def test_deal_stream__done_without_a_receipt_or_with_one_that_says_partial__is_reported():
    with pytest.raises(AnswerCut, match="without a receipt"):
        deliver([CONTENT + DONE_EVENT])
    shown = json.dumps(signed_receipt(Status.PARTIAL).to_json()).encode()
    partial = b": wwwserve-receipt " + base64.b64encode(shown) + b"\n\n"
    with pytest.raises(AnswerCut, match="not complete"):
        deliver([CONTENT + partial + DONE_EVENT])


def test_deal_stream__finish_reason_invented_after_a_cut__does_not_help():
    cut = CONTENT[: CONTENT.index(b" end") - 40]
    cut = cut[: cut.rindex(b"\n\n") + 2] + chunk(delta={}, finish_reason="stop")
    with pytest.raises(AnswerCut):
        deliver([cut + DONE_EVENT])


@pytest.mark.parametrize("junk", [b": wwwserve-receipt %%%\n\n", chunk(index=-1, delta={"content": "x"})])
def test_deal_stream__malformed_event__is_reported(junk):
    with pytest.raises(AnswerCut, match="malformed"):
        deliver([CONTENT + junk + DONE_EVENT])


def test_meter__of_a_node_that_buys__passes_on_no_comment_and_no_error():
    error = b'data: {"error": "pay at evil.example"}\n\n'
    kept, sold = Meter(), Meter(is_resold=True)
    assert kept.feed(b": ping\n\n" + CONTENT + error) == b": ping\n\n" + CONTENT + error
    assert sold.feed(b": ping\n\n" + CONTENT + error) == CONTENT
    assert (kept.is_failed, sold.is_failed, sold.problem) == (False, True, None)


USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 4}}\n\n'


def test_deal_stream__usage__comes_with_the_end():
    assert deliver([CONTENT + USAGE + COMMENT, DONE_EVENT]) == CONTENT + USAGE + DONE_EVENT
    assert Meter().feed(USAGE) == b"", "usage alone is no beginning"


@pytest.mark.parametrize("end", [USAGE, b'data: {"error": {"message": "boom"}}\n\n'])
def test_meter__of_a_node_that_buys__text_after_the_end_is_no_answer(end):
    meter = Meter(is_resold=True)
    assert meter.feed(CONTENT + end + CONTENT) == CONTENT
    assert meter.problem is not None
    assert meter.assembler.choices()[0].content == "".join(TEXTS)


def test_meter__text_after_done__is_not_read():
    meter = Meter()
    assert meter.feed(CONTENT + DONE_EVENT + CONTENT) == CONTENT
    assert meter.assembler.choices()[0].content == "".join(TEXTS)
