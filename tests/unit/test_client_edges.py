"""The client's edges: pins, quotes, payment headers, refusals, endpoints, signatures in the escrow's form."""

import base64
import json

import pytest

from node.adapters.keys import recover
from node.client.discovery import find_providers, is_endpoint
from node.client.effects import Reply
from node.client.escrow import Function, Listing
from node.client.over_aiohttp import is_global
from node.client.pins import SHIPPED, Pin, add_pin, check_pinned, load_pins
from node.client.quote import max_price, parse_ask
from node.client.settlements import long_signature
from node.client.wallet import BudgetReached
from node.client.x402 import Payment, parse_demand, parse_encoded_receipt, parse_refusal, receipt_of
from node.core.errors import BadConfig, BadRequest, BadVoucher, ChainUnavailable, PromptTooLong
from node.core.messages import ModelOffer, Voucher
from node.core.types import ZERO32, Address, Amount, Bytes32, Signature
from tests.fakes.fake_node import DOMAIN, make_signer
from tests.unit.test_client_wallet import KEY, make_purchase

PIN = Pin(Bytes32(b"\x01" * 32), Bytes32(b"\x02" * 32))
MODEL = ModelOffer("m", PIN.tokenizer, PIN.template, Amount(1_000_000), Amount(2_000_000), 100, 50)


# ------------------------------------------------------------------------------------------------ pins
def test_pins__shipped_list__is_well_formed():
    assert load_pins(SHIPPED)["smollm2-135m"]


def test_pins__added_by_the_owner__are_kept_and_checked(tmp_path):
    file = tmp_path / "deep" / "pins.json"
    add_pin(file, "m", PIN)
    add_pin(file, "m", PIN)
    add_pin(file, "other", PIN)
    check_pinned(load_pins(file), "m", PIN)
    assert len(json.loads(file.read_text())["m"]) == 1


def test_pins__any_model__covers_every_name():
    check_pinned({"*": frozenset({PIN})}, "whatever", PIN)


def test_pins__unknown__error_holds_the_command_that_would_trust_it():
    with pytest.raises(BadConfig, match=r"gateway.py trust m 0x0101"):
        check_pinned({}, "m", PIN)


@pytest.mark.parametrize(
    "text", ["[", "[]", '{"m": [{}]}', '{"m": 1}', '{"m": [{"tokenizer": "0x", "template": "0x"}]}']
)
def test_pins__broken_file__is_a_clear_error(tmp_path, text):
    file = tmp_path / "pins.json"
    file.write_text(text)
    with pytest.raises(BadConfig, match="not a pins file"):
        load_pins(file)


# ------------------------------------------------------------------------------------------------ quotes
def ask(**fields):
    return parse_ask("/v1/completions", json.dumps({"model": "m", "prompt": "x", **fields}).encode())


@pytest.mark.parametrize(
    ("fields", "prompt", "price"),
    [({}, 10, 110), ({"max_tokens": 5}, 10, 20), ({"max_completion_tokens": 7}, 10, 24), ({"max_tokens": 99}, 70, 130)],
)
def test_max_price__bounded_by_request_offer_and_context(fields, prompt, price):
    assert max_price(ask(**fields), MODEL, prompt, Amount(10**6)) == price


def test_max_price__no_limit_named__is_cut_to_the_budget_but_a_named_one_is_refused():
    assert max_price(ask(), MODEL, 10, Amount(60)) == 60
    with pytest.raises(BudgetReached):
        max_price(ask(max_tokens=50), MODEL, 10, Amount(60))
    with pytest.raises(BudgetReached):
        max_price(ask(), MODEL, 10, Amount(11))


def test_max_price__prompt_fills_the_context__is_refused():
    with pytest.raises(PromptTooLong):
        max_price(ask(), MODEL, 100, Amount(10**6))


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": ""}', b'{"model": 5}', b'{"model": "a\\u0007"}'])
def test_parse_ask__no_request_object_with_a_model__is_refused(body):
    with pytest.raises(BadRequest):
        parse_ask("/v1/completions", body)


def test_body_hash__other_route_or_other_bytes__differs():
    one = parse_ask("/v1/completions", b'{"model":"m"}').body_hash
    assert one != parse_ask("/v1/chat/completions", b'{"model":"m"}').body_hash
    assert one != parse_ask("/v1/completions", b'{"model":"m" }').body_hash


# ------------------------------------------------------------------------------------------------ x402
def test_payment__header__carries_what_was_signed():
    signer = make_signer("payer")
    voucher = Voucher(KEY.payer, KEY.payee, 1, Amount(2**100), ZERO32)
    signature = signer.sign(DOMAIN.digest(voucher.struct_hash()))
    payment = Payment(voucher, signature, make_purchase().terms, ZERO32)
    document = json.loads(base64.b64decode(payment.to_header(DOMAIN, None)))
    assert (document["x402Version"], document["scheme"], document["network"]) == (2, "ceiling", "eip155:31337")
    assert document["payload"]["voucher"]["ceiling"] == str(2**100)
    assert set(document["payload"]) == {"voucher", "signature", "terms", "salt"}


@pytest.mark.parametrize(
    "text", ["%%%", "bm90IGpzb24=", base64.b64encode(b"[]").decode(), base64.b64encode(b"{}").decode()]
)
def test_receipt__malformed__is_refused(text):
    with pytest.raises(BadVoucher):
        parse_encoded_receipt(text)
    with pytest.raises(BadVoucher):
        receipt_of(Reply(200, {"payment-response": text}))
    assert receipt_of(Reply(200, {})) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>", ""),
        (b'{"error": {"code": "x"}}', ""),
        (b'{"error": "x", "retryable": true}', ""),
        (b'{"error": {"code": "draining", "message": "m"}, "retryable": true}', "draining"),
    ],
)
def test_refusal__only_a_node_of_ours_has_a_code(body, code):
    assert parse_refusal(Reply(503, {}, body)).code == code


@pytest.mark.parametrize(("text", "seconds"), [("2", 2.0), ("9999", 5.0), ("-1", 0.5), ("soon", 0.5), ("", 0.5)])
def test_refusal__retry_after__is_bounded(text, seconds):
    assert parse_refusal(Reply(503, {"retry-after": text})).retry_after == seconds


@pytest.mark.parametrize(
    "payload", [{}, {"accepts": []}, {"accepts": [{}]}, {"accepts": [{"extra": {}}]}, {"accepts": 5}]
)
def test_demand__malformed_402__is_refused(payload):
    with pytest.raises(BadVoucher):
        parse_demand(payload)


# ------------------------------------------------------------------------------------------------ endpoints
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "255.255.255.255", "168.63.129.16", "::ffff:8.8.8.8",
        "224.0.0.1", "198.18.0.1", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1%eth0", "not an address", "",
    ],
)  # fmt: skip
def test_is_global__private_in_any_wrapping__is_not(address):
    assert not is_global(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"])
def test_is_global__public__is(address):
    assert is_global(address)


@pytest.mark.parametrize(
    "text",
    [
        "http://node.example", "ftp://node.example", "https://user@node.example", "https://u:p@node.example", "https://",
        "https://node.example?x=1", "https://node.example#x", "https://node.example\r\nX: y", "https://no de.example",
        "https://node.example:0", "https://node.example:99999", "https://[::1", "javascript:alert(1)",
        "", "//node.example",
        "https://node.example\\@evil.example", "https://nöde.example", "https://node.example/" + "x" * 300,
        "file:///etc/passwd",
    ],
)  # fmt: skip
def test_is_endpoint__hostile_or_plain_http__is_refused(text):
    assert not is_endpoint(text, allows_http=False)


def test_is_endpoint__https_with_port_and_path__is_fine():
    assert is_endpoint("https://node.example:8443/api", allows_http=False)
    assert is_endpoint("http://127.0.0.1:8000", allows_http=True)


class Pages:
    def __init__(self, listings) -> None:
        self.listings = listings

    def read_listings(self, first, count):
        return self.listings[first : first + count] or None


def test_find_providers__orders_by_stake_and_drops_bad_endpoints():
    rows = [Listing(Address(bytes([i]) * 20), f"https://node{i}.example/", ZERO32, Amount(i)) for i in range(150)]
    rows.append(Listing(Address(b"\xff" * 20), "http://169.254.169.254", ZERO32, Amount(10**9)))
    found = find_providers(Pages(rows), allows_private=False)
    assert found[:2] == ["https://node149.example", "https://node148.example"]
    assert len(found) == 16


# ------------------------------------------------------------------------------------------------ the chain's forms
def test_long_signature__from_the_escrows_64_bytes__recovers_the_same_signer():
    signer, digest = make_signer("operator"), Bytes32(b"\x05" * 32)
    for salt in range(8):  # both recovery bits occur
        digest = Bytes32(bytes([salt]) * 32)
        signature = signer.sign(digest)
        parity = (signature[64] - 27) << 7
        vs = bytes([signature[32] | parity]) + signature[33:64]
        assert long_signature(signature[:32], vs) == signature
        assert recover(digest, Signature(long_signature(signature[:32], vs))) == signer.address


def test_function__unknown_or_answer_that_is_nonsense__is_a_clear_error():
    with pytest.raises(BadConfig, match="no sendAllMoney"):
        Function.of("Escrow", "sendAllMoney")
    with pytest.raises(ChainUnavailable):
        Function.of("Escrow", "payees").decode(b"\x00" * 5)
