"""The golden EIP-712 vectors against the node's own hashing. Written by eth-account; forge reads the same file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from coincurve import PublicKey

from node.core import messages
from node.core.hashing import Domain, keccak

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "eip712.json").read_text("utf-8"))
NAMES = tuple(VECTORS["messages"])


def _snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def _parsed(kind: str, raw: object) -> object:
    if kind == "string":
        return raw
    if kind.startswith("uint"):
        return int(str(raw))
    return bytes.fromhex(str(raw)[2:])


def _members(name: str) -> list[tuple[str, str]]:
    inside = VECTORS["messages"][name]["type"].split("(")[1].split(")")[0]
    return [(member.split(" ")[0], member.split(" ")[1]) for member in inside.split(",")]


def _built(name: str, fields: dict[str, object]) -> object:
    values: dict[str, object] = {}
    for kind, member in _members(name):
        raw = fields[member]
        if isinstance(raw, list):
            values[_snake(member)] = tuple(_built("ModelOffer", each) for each in raw)
        else:
            values[_snake(member)] = _parsed(kind, raw)
    return getattr(messages, name)(**values)


def _cases() -> Iterator[tuple[str, dict[str, object]]]:
    for name in NAMES:
        for case in VECTORS["messages"][name]["cases"]:
            yield pytest.param(name, case, id=f"{name}-{case['variant']}")


def _domain() -> Domain:
    raw = VECTORS["domain"]
    return Domain.of(raw["chainId"], bytes.fromhex(raw["verifyingContract"][2:]))


def _digest(name: str, fields: dict[str, object]) -> str:
    return "0x" + _domain().digest(_built(name, fields).struct_hash()).hex()


def test_domain__of_the_vectors__has_their_separator():
    assert "0x" + _domain().separator.hex() == VECTORS["domain"]["separator"]


@pytest.mark.parametrize("name", NAMES)
def test_type_string__of_every_message__is_the_vectors(name):
    constant = re.sub("(?<=[a-z])([A-Z])", r"_\1", name).upper() + "_TYPE"
    text = getattr(messages, constant)
    assert text.decode() == VECTORS["messages"][name]["type"]
    assert "0x" + keccak(text).hex() == VECTORS["messages"][name]["typeHash"]


@pytest.mark.parametrize(("name", "case"), list(_cases()))
def test_message__of_every_vector__hashes_to_its_digest(name, case):
    assert "0x" + _built(name, case["fields"]).struct_hash().hex() == case["structHash"]
    assert _digest(name, case["fields"]) == case["digest"]


@pytest.mark.parametrize(("name", "case"), list(_cases()))
def test_signature__of_every_vector__recovers_to_its_signer(name, case):
    vs = int(case["vs"], 16)
    s = (vs & (1 << 255) - 1).to_bytes(32)
    signature = bytes.fromhex(case["r"][2:]) + s + bytes([vs >> 255])
    digest = bytes.fromhex(_digest(name, case["fields"])[2:])
    key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    assert "0x" + keccak(key.format(compressed=False)[1:])[12:].hex() == case["signer"].lower()


@pytest.mark.parametrize("name", NAMES)
def test_mutations__of_every_field__change_the_digest(name):
    case = VECTORS["messages"][name]["cases"][0]
    assert set(case["mutations"]) == set(case["fields"])
    digests = {case["digest"], *case["mutations"].values()}
    assert len(digests) == len(case["fields"]) + 1
