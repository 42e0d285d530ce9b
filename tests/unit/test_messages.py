"""Hashes of every message against eth-account's general encoder: the two share no code with each other."""

from dataclasses import fields
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address

from node.core import messages
from node.core.hashing import Domain, keccak
from node.core.messages import Answer, Claim, Receipt, SignerConsent
from node.core.types import ZERO32, Address, Amount, Micros, Seconds
from node.core.wire import message_to_json, offer_to_json
from tests.factories import DOMAIN, ESCROW, PAYEE, PAYER, make_model, make_offer, make_receipt, make_terms, make_voucher

CLAIM = Claim(PAYER, PAYEE, PAYER, 3, Micros(17), Amount(2**127), keccak(b"root"), 9)
CONSENT = SignerConsent(PAYER, Amount(5), Seconds(1_900_000_000))
ANSWER = Answer(PAYER, PAYER, 1, keccak(b"a"), keccak(b"b"), keccak(b"c"), keccak(b"m"), PAYEE, ZERO32)
SAMPLES = [make_terms(), make_voucher(), make_receipt(), CLAIM, CONSENT, ANSWER]
TYPES = {
    name.removesuffix("_TYPE"): text
    for name, text in vars(messages).items()
    if name.endswith("_TYPE") and isinstance(text, bytes)
}


def members(type_string: str) -> list[dict[str, str]]:
    inside = type_string[type_string.index("(") + 1 : type_string.index(")")]
    return [{"type": part.split(" ")[0], "name": part.split(" ")[1]} for part in inside.split(",")]


def digest_elsewhere(primary: str, types: dict[str, list[dict[str, str]]], message: dict[str, Any]) -> bytes:
    signable = encode_typed_data(
        domain_data={
            "name": "wwwserve",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": to_checksum_address(ESCROW),
        },
        message_types={primary: types[primary], **types},
        message_data=message,
    )
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def typed(message: object) -> tuple[str, dict[str, list[dict[str, str]]]]:
    name = type(message).__name__
    upper = "SIGNER_CONSENT" if name == "SignerConsent" else name.upper()
    return name, {name: members(TYPES[upper].decode())}


def as_typed_values(value: dict[str, Any]) -> dict[str, Any]:
    return {key: int(item) if isinstance(item, str) and item.isdigit() else item for key, item in value.items()}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_digest__every_message__equals_another_encoder(message: Any) -> None:
    name, types = typed(message)
    expected = digest_elsewhere(name, types, as_typed_values(message_to_json(message)))
    assert DOMAIN.digest(message.struct_hash()) == expected


def test_digest__offer_with_models__equals_another_encoder() -> None:
    offer = make_offer(models=(make_model(), make_model(name="other-model", price_prompt=Amount(7))))
    text = TYPES["OFFER"].decode()
    types = {
        "Offer": members(text[: text.index(")") + 1]),
        "ModelOffer": members(TYPES["MODEL_OFFER"].decode()),
    }
    value = as_typed_values(offer_to_json(offer))
    value["models"] = [as_typed_values(model) for model in value["models"]]
    assert DOMAIN.digest(offer.struct_hash()) == digest_elsewhere("Offer", types, value)


@pytest.mark.parametrize("message", [*SAMPLES, make_model()], ids=lambda message: type(message).__name__)
def test_struct_hash__any_member_changed__differs(message: Any) -> None:
    from dataclasses import replace

    for member in fields(message):
        value = getattr(message, member.name)
        other = (
            value + 1
            if isinstance(value, int)
            else value + "x"
            if isinstance(value, str)
            else bytes(len(value) - 1) + b"\x77"
        )
        assert replace(message, **{member.name: other}).struct_hash() != message.struct_hash(), member.name


def test_digest__another_chain_or_escrow__differs() -> None:
    struct = make_receipt().struct_hash()
    digests = {
        DOMAIN.digest(struct),
        Domain.of(1, ESCROW).digest(struct),
        Domain.of(31337, Address(b"\xef" * 20)).digest(struct),
    }
    assert len(digests) == 3


def test_struct_hash__number_too_large_for_a_word__raises() -> None:
    with pytest.raises(OverflowError):
        make_receipt(charge=Amount(2**256)).struct_hash()


def test_receipt_key__names_lane_and_generation() -> None:
    receipt: Receipt = make_receipt(generation=4)
    assert receipt.key.generation == 4
    assert receipt.key.pair == (PAYER, PAYEE)
