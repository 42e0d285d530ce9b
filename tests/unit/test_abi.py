"""The ABI the node ships is what forge builds, and the signed structs in it are those of the golden vectors (P3)."""

import json
import re
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "contracts" / "out"
SHIPPED = ROOT / "node" / "abi"
LIMIT_BYTES = 24_576
VECTORS = json.loads((ROOT / "tests" / "vectors" / "eip712.json").read_text("utf-8"))["messages"]


def _abi(name: str) -> list[dict]:
    return json.loads((SHIPPED / f"{name}.json").read_text("utf-8"))["abi"]


def _function(contract: str, name: str) -> dict:
    return next(entry for entry in _abi(contract) if entry.get("name") == name and entry["type"] == "function")


def _type_string(struct: dict) -> str:
    name = struct["internalType"].removeprefix("struct ")
    members = ",".join(f"{member['type']} {member['name']}" for member in struct["components"])
    return f"{name}({members})"


@pytest.mark.skipif(not BUILT.exists(), reason="forge has built nothing here: make contracts")
def test_shipped_abi__against_the_build__is_current():
    tool = runpy.run_path(str(ROOT / "contracts" / "tools" / "ship_abi.py"))
    assert tool["stale"]() == []


def test_challenge_structs__in_the_abi__are_the_signed_messages():
    inputs = _function("Escrow", "challengeOverclaim")["inputs"]
    assert _type_string(inputs[0]) == VECTORS["Claim"]["type"]
    assert _type_string(inputs[2]) == VECTORS["Receipt"]["type"]


@pytest.mark.parametrize("message", ["Voucher", "Claim"])
def test_claim_row__in_the_abi__has_the_fields_of_both_messages(message):
    row = {member["name"]: member["type"] for member in _function("Escrow", "claim")["inputs"][0]["components"]}
    inside = VECTORS[message]["type"].split("(")[1].rstrip(")")
    for kind, name in (member.split(" ") for member in inside.split(",")):
        if name != "lane":  # recovered, not sent
            assert row[name] == kind


@pytest.mark.parametrize("message", ["Voucher", "Claim", "Receipt", "SignerConsent", "Answer"])
def test_type_strings__in_the_contracts__are_the_vectors(message):
    source = (ROOT / "contracts" / "src" / "libraries" / "Messages.sol").read_text("utf-8")
    assert f'"{VECTORS[message]["type"]}"' in re.sub(r"\s*\n\s*", " ", source)


@pytest.mark.parametrize("contract", ["Escrow", "Registry", "Duels"])
def test_init_code__of_every_contract__fits_the_chain(contract):
    code = json.loads((SHIPPED / f"{contract}.json").read_text("utf-8"))["bytecode"]
    assert len(code) // 2 - 1 < 2 * LIMIT_BYTES
