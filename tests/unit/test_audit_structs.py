"""The auditor's own EIP-712, hex and recovery, against vectors made by encoders it shares no code with."""

import json
from pathlib import Path

import pytest

from node.audit.crypto import HALF_ORDER, octets_of, recover, uint_of
from node.audit.errors import MalformedError
from node.audit.structs import (
    CLAIM,
    MODEL_OFFER,
    RECEIPT,
    TERMS,
    VOUCHER,
    digest_of,
    domain_separator,
    parse_offer,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "eip712.json").read_text())
DOMAIN = VECTORS["domain"]
STRUCTS = {"Terms": TERMS, "Voucher": VOUCHER, "Receipt": RECEIPT, "Claim": CLAIM, "ModelOffer": MODEL_OFFER}
CASES = [(name, case) for name in STRUCTS for case in VECTORS["messages"][name]["cases"]]
VOUCHER_CASE = VECTORS["messages"]["Voucher"]["cases"][0]


def separator() -> bytes:
    return domain_separator(DOMAIN["chainId"], octets_of(DOMAIN["verifyingContract"], 20, "contract"))


def signature_of(case: dict) -> bytes:
    vs = bytes.fromhex(case["vs"][2:])
    s = bytes([vs[0] & 0x7F]) + vs[1:]
    return bytes.fromhex(case["r"][2:]) + s + bytes([27 + (vs[0] >> 7)])


def test_separator__vector_domain__equals_the_vectors() -> None:
    assert "0x" + separator().hex() == DOMAIN["separator"]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name} {case['variant']}" for name, case in CASES])
def test_parse__vector__gives_hash_digest_and_signer(name: str, case: dict) -> None:
    message = STRUCTS[name].parse(case["fields"])
    assert "0x" + message.struct_hash.hex() == case["structHash"]
    digest = digest_of(separator(), message.struct_hash)
    assert "0x" + digest.hex() == case["digest"]
    signer = recover(digest, signature_of(case))
    assert signer is not None
    assert "0x" + signer.hex() == case["signer"].lower()


@pytest.mark.parametrize("case", VECTORS["messages"]["Offer"]["cases"], ids=lambda case: case["variant"])
def test_parse_offer__vector__gives_its_hash(case: dict) -> None:
    assert "0x" + parse_offer(case["fields"]).struct_hash.hex() == case["structHash"]


@pytest.mark.parametrize(
    "change",
    [
        {"payer": None},
        {"payer": "0x12"},
        {"payer": "0x" + "0g" * 20},
        {"payer": "0x" + "1 " * 20},
        {"payer": "0X" + "11" * 20},
        {"generation": -1},
        {"generation": 2**32},
        {"generation": True},
        {"generation": "01"},
        {"generation": "1e3"},
        {"generation": 1.0},
        {"ceiling": "٣"},
        {"ceiling": str(2**128)},
        {"extra": 1},
    ],
)
def test_parse__bent_member__is_malformed(change: dict) -> None:
    with pytest.raises(MalformedError):
        VOUCHER.parse(VOUCHER_CASE["fields"] | change)


@pytest.mark.parametrize("document", [None, [], "x", {}])
def test_parse__no_message__is_malformed(document: object) -> None:
    with pytest.raises(MalformedError):
        VOUCHER.parse(document)


@pytest.mark.parametrize("name", ["\ud800", 5, None])
def test_parse__text_that_cannot_be_hashed__is_malformed(name: object) -> None:
    fields = VECTORS["messages"]["ModelOffer"]["cases"][0]["fields"]
    with pytest.raises(MalformedError):
        MODEL_OFFER.parse(fields | {"name": name})


@pytest.mark.parametrize("document", [None, {"models": {}}, {"models": [{}] * 300}])
def test_parse_offer__no_offer__is_malformed(document: object) -> None:
    with pytest.raises(MalformedError):
        parse_offer(document)


def bad_signatures() -> list[bytes]:
    good = signature_of(VOUCHER_CASE)
    s = int.from_bytes(good[32:64], "big")
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = good[:32] + (order - s).to_bytes(32, "big") + bytes([55 - good[64]])
    wrong_v = good[:64] + bytes([good[64] - 27])
    off_curve = (order + 5).to_bytes(32, "big") + good[32:]
    return [b"", good[:64], good + b"\x00", high, wrong_v, off_curve, bytes(64) + b"\x1b"]


@pytest.mark.parametrize("signature", bad_signatures(), ids=range(7))
def test_recover__no_proper_signature__is_nobody(signature: bytes) -> None:
    digest = bytes.fromhex(VOUCHER_CASE["digest"][2:])
    assert recover(digest, signature) is None


def test_half_order__is_half_of_the_group_order() -> None:
    assert HALF_ORDER == 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2


@pytest.mark.parametrize("number", [0, 5, "0", "5", str(2**64 - 1)])
def test_uint_of__in_range__is_the_integer(number: object) -> None:
    assert uint_of(number, 64, "x") == int(number)
