"""The gateway's door and its memory of answers: who may spend, and what counts as a retry."""

import stat
from dataclasses import replace

import pytest

from node.client import exchange, wallet
from node.client.books import Held
from node.client.delivery import AnswerCut, PayeeCheated
from node.client.gateway.errors import STATUS, document_of, event_of, headers_of, status_of
from node.client.gateway.guard import ForeignCaller, Guard, WrongKey, load_api_key
from node.client.gateway.retries import MAX_ANSWER_BYTES, MAX_KEPT_BYTES, Answers, Kept, choose_earlier, retry_mark
from node.client.provider import UntrustedProvider
from node.client.rows import Origin
from node.client.verify import NOTHING
from node.client.wallet import PurchaseState
from node.client.x402 import Refusal
from node.core.errors import BadConfig, BadRequest, Broken, InProgress, WwwserveError
from node.core.types import Bytes32, Seconds, Status
from tests.unit.test_client_wallet import make_purchase, make_receipt

GUARD = Guard("wws-secret", 8080, frozenset({"https://mine.example"}))


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080"])
def test_check_place__own_names__are_let_in(host):
    GUARD.check_place({"Host": host})
    GUARD.check_place({"Host": host, "Origin": "https://mine.example"})
    GUARD.check_place({"Host": host, "Origin": "http://localhost:8080"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:8081"},
        {"Host": "127.0.0.1:8080.evil.example"},
        {"Host": "127.0.0.1:8080", "Origin": "null"},
        {"Host": "127.0.0.1:8080", "Origin": "http://localhost:3000"},
        {"Host": "127.0.0.1:8080", "Origin": "https://mine.example.evil"},
        {"Host": "127.0.0.1:8080", "Origin": ""},
    ],
)
def test_check_place__anything_else__is_foreign(headers):
    with pytest.raises(ForeignCaller):
        GUARD.check_place(headers)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer wws-secre", "Bearer wws-secret2", "Basic wws-secret", "wws-secret"]
)
def test_check_key__wrong__is_refused(value):
    with pytest.raises(WrongKey):
        GUARD.check_key({"Authorization": value})


@pytest.mark.parametrize("value", ["Bearer wws-secret", "bearer  wws-secret "])
def test_check_key__right__is_let_in(value):
    GUARD.check_key({"Authorization": value})


def test_api_key__made_once__is_private_and_stays(tmp_path):
    file = tmp_path / "key"
    key = load_api_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_api_key(file) == key
    assert len(key) > 40


def test_api_key__readable_by_others_or_not_ours__is_refused(tmp_path):
    file = tmp_path / "key"
    load_api_key(file)
    file.chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600"):
        load_api_key(file)
    file.chmod(0o600)
    file.write_text("sk-somebody-elses\n")
    with pytest.raises(BadConfig, match="no gateway key"):
        load_api_key(file)
    with pytest.raises(BadConfig, match="cannot write"):
        load_api_key(tmp_path / "nowhere" / "key")


# ------------------------------------------------------------------------------------------------ retries
@pytest.mark.parametrize(
    ("headers", "is_retry"),
    [
        ({}, False),
        ({"x-stainless-retry-count": "0"}, False),
        ({"x-stainless-retry-count": "1"}, True),
        ({"x-stainless-retry-count": "x"}, False),
        ({"x-stainless-retry-count": "²"}, False),
        ({"Idempotency-Key": "k"}, True),
    ],
)
def test_retry_mark__tells_what_repeats(headers, is_retry):
    assert retry_mark(headers).is_retry is is_retry


@pytest.mark.parametrize("key", ["x" * 201, "a\x07b"])
def test_retry_mark__unusable_key__is_refused(key):
    with pytest.raises(BadRequest):
        retry_mark({"Idempotency-Key": key})


def held(number: int, state=PurchaseState.OPEN, status=None) -> Held:
    purchase = make_purchase(state=state)
    purchase = replace(purchase, terms=replace(purchase.terms, request_id=Bytes32(bytes([number]) * 32)))
    receipt = None if status is None else replace(make_receipt(), status=int(status))
    return Held(purchase, Origin("", "", Bytes32(b"0" * 32), "", Seconds(0)), NOTHING, receipt)


def test_choose_earlier__prefers_the_newest_of_unknown_end_that_nobody_waits_for():
    answered, cut, refused, unknown = (
        held(1, PurchaseState.DONE, Status.COMPLETE),
        held(2, PurchaseState.DONE, Status.CANCELLED),
        held(3, PurchaseState.REFUSED),
        held(4),
    )
    assert choose_earlier([answered, cut, unknown], ()) == unknown
    assert choose_earlier([answered, unknown], {unknown.purchase.request_id}) == answered
    assert choose_earlier([unknown], {unknown.purchase.request_id}) is None
    assert choose_earlier([cut, answered], ()) == cut
    assert choose_earlier([], ()) is None
    for unserved in (cut, refused):  # tried in vain, then answered: bought again it would be paid twice
        assert choose_earlier([answered, unserved], ()) == answered


def test_answers__old_or_too_many__are_forgotten():
    answers = Answers()
    answers.keep(Bytes32(b"\x01" * 32), Kept("t", b"x", 100.0))
    assert answers.find(Bytes32(b"\x01" * 32), 699.0) is not None
    assert answers.find(Bytes32(b"\x01" * 32), 700.0) is None
    answers.keep(Bytes32(b"\x02" * 32), Kept("t", b"x" * (MAX_ANSWER_BYTES + 1), 100.0))
    assert answers.find(Bytes32(b"\x02" * 32), 100.0) is None
    for number in range(3, 3 + MAX_KEPT_BYTES // MAX_ANSWER_BYTES + 1):
        answers.keep(Bytes32(bytes([number]) * 32), Kept("t", b"x" * MAX_ANSWER_BYTES, 100.0))
    assert answers.find(Bytes32(b"\x01" * 32), 100.0) is None
    assert answers.find(Bytes32(bytes([number]) * 32), 100.0) is not None


# ------------------------------------------------------------------------------------------------ errors
def test_errors__every_class_the_client_adds__has_its_status():
    own = [
        ForeignCaller,
        WrongKey,
        AnswerCut,
        PayeeCheated,
        UntrustedProvider,
        exchange.AlreadyPaid,
        exchange.OutcomeUnknown,
    ]
    own += [wallet.BudgetReached, wallet.ExposureBusy, wallet.ExposureReached, wallet.PayeeStopped]
    assert not [kind for kind in own if kind not in STATUS]
    codes = [kind.code() for kind in STATUS]
    assert len(codes) == len(set(codes))


def test_errors__nodes_own_refusal__is_handed_on_as_it_came():
    said = Refusal(400, "bad_request", "no", {"error": {"message": "no"}, "retryable": False}, 1.0)
    error = exchange.NodeRefused(said)
    assert (status_of(error), document_of(error)) == (400, said.payload)
    assert headers_of(error) == {"x-should-retry": "false"}


def test_errors__retryable__tells_the_official_packages_when():
    assert headers_of(InProgress("x", retry_after=3)) == {"x-should-retry": "true", "retry-after": "3"}
    assert status_of(Broken("x")) == 500
    assert b'"code": "broken"' in event_of(Broken("x"))
    assert document_of(WwwserveError("x", amount=2**80))["amount"] == str(2**80)
