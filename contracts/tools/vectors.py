"""Writes the golden EIP-712 vectors with eth-account's encoder; `contracts/test/Vectors.t.sol` hashes them by hand.

The two encoders share no code, and neither is the node's or the contracts' own: those two are what the vectors test.
Deterministic; `--check` compares instead of writing.
"""

import argparse
import json
import sys
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

VECTORS = Path(__file__).resolve().parents[2] / "tests" / "vectors" / "eip712.json"
CHAIN_ID = 31337

TYPES: dict[str, str] = {
    "Terms": "bytes32 requestId,bytes32 requestHash,bytes32 offerHash,bytes32 model,bytes32 tokenizer,bytes32 template,"
    "uint128 pricePrompt,uint128 priceCompletion,uint128 maxPrice,uint64 startBy,uint8 mode,uint32 flags,uint8 hops,"
    "bytes32 originHash",
    "Voucher": "address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context",
    "Receipt": "address payer,address payee,address lane,uint32 generation,uint64 seq,bytes32 requestId,bytes32 context,"
    "bytes32 requestHash,bytes32 responseHash,bytes32 answerHash,uint32 promptTokens,uint32 completionTokens,"
    "uint8 status,uint128 charge,uint128 cumulative",
    "Claim": "address payer,address payee,address lane,uint32 generation,uint64 seq,uint128 cumulative,"
    "bytes32 receiptsRoot,uint32 count",
    "SignerConsent": "address payer,uint128 cap,uint64 deadline",
    "Answer": "address payer,address lane,uint32 generation,bytes32 requestId,bytes32 requestHash,bytes32 responseHash,"
    "bytes32 model,address executor,bytes32 nonceCommit",
    "Offer": "address payee,uint64 number,ModelOffer[] models,uint128 minimumBudget,uint64 validFrom,uint64 validUntil",
    "ModelOffer": "string name,bytes32 tokenizer,bytes32 template,uint128 pricePrompt,uint128 priceCompletion,"
    "uint32 contextLength,uint32 maxCompletion",
}
DOMAIN_FIELDS = "string name,string version,uint256 chainId,address verifyingContract"
VARIANTS = ("typical", "zero", "largest")


def _members(text: str) -> list[dict[str, str]]:
    pairs = (field.split(" ") for field in text.split(","))
    return [{"type": kind, "name": name} for kind, name in pairs]


def _address(seed: str) -> str:
    return to_checksum_address(keccak(text=seed)[12:])


def _typical(kind: str, seed: str) -> object:
    noise = int.from_bytes(keccak(text=seed))
    if kind == "address":
        return _address(seed)
    if kind == "bytes32":
        return "0x" + keccak(text=seed).hex()
    if kind == "string":
        return f"org/{seed} - Größe 7B"
    bits = int(kind.removeprefix("uint"))
    return str(noise % 2 ** max(bits - 5, 3))


def _value(kind: str, seed: str, variant: str) -> object:
    if variant == "typical":
        return _typical(kind, seed)
    full = variant == "largest"
    if kind == "address":
        return "0x" + ("ff" if full else "00") * 20
    if kind == "bytes32":
        return "0x" + ("ff" if full else "00") * 32
    if kind == "string":
        return "x" * 200 if full else ""
    return str(2 ** int(kind.removeprefix("uint")) - 1) if full else "0"


def _fields(name: str, seed: str, variant: str) -> dict[str, object]:
    fields: dict[str, object] = {}
    for member in _members(TYPES[name]):
        kind, key = member["type"], member["name"]
        if kind == "ModelOffer[]":
            count = {"typical": 2, "zero": 0, "largest": 1}[variant]
            fields[key] = [_fields("ModelOffer", f"{seed}.{i}", variant) for i in range(count)]
        else:
            fields[key] = _value(kind, f"{seed}.{key}", variant)
    return fields


def _plain(name: str, fields: dict[str, object]) -> dict[str, object]:
    """Decimal strings become integers: what eth-account wants."""
    plain: dict[str, object] = {}
    for member in _members(TYPES[name]):
        raw = fields[member["name"]]
        if member["type"] == "ModelOffer[]":
            assert isinstance(raw, list)
            plain[member["name"]] = [_plain("ModelOffer", each) for each in raw]
        elif member["type"].startswith("uint"):
            plain[member["name"]] = int(str(raw))
        else:
            plain[member["name"]] = raw
    return plain


def _encoded(name: str, fields: dict[str, object], domain: dict[str, object]) -> tuple[str, str, str]:
    types = {"EIP712Domain": _members(DOMAIN_FIELDS), name: _members(TYPES[name])}
    if name == "Offer":
        types["ModelOffer"] = _members(TYPES["ModelOffer"])
    document = {"types": types, "primaryType": name, "domain": domain, "message": _plain(name, fields)}
    signable = encode_typed_data(full_message=document)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    return "0x" + signable.header.hex(), "0x" + signable.body.hex(), "0x" + digest.hex()


def _case(name: str, variant: str, domain: dict[str, object]) -> dict[str, object]:
    fields = _fields(name, f"{name}.{variant}", variant)
    separator, struct_hash, digest = _encoded(name, fields, domain)
    key = keccak(text=f"vector key of {name}, {variant}: signs nothing else")
    signed = Account.unsafe_sign_hash(bytes.fromhex(digest[2:]), key)
    vs = signed.s | (signed.v - 27) << 255
    assert separator == _separator(domain)
    return {
        "variant": variant,
        "fields": fields,
        "structHash": struct_hash,
        "digest": digest,
        "signer": Account.from_key(key).address,
        "r": f"0x{signed.r:064x}",
        "vs": f"0x{vs:064x}",
        "mutations": _mutations(name, fields, domain) if variant == "typical" else {},
    }


def _separator(domain: dict[str, object]) -> str:
    return _encoded("SignerConsent", _fields("SignerConsent", "x", "zero"), domain)[0]


def _mutations(name: str, fields: dict[str, object], domain: dict[str, object]) -> dict[str, str]:
    """The digest after changing each field alone: all must differ from the case's."""
    changed = {}
    for member in _members(TYPES[name]):
        if member["type"] == "ModelOffer[]":
            other: object = []
        elif member["type"].startswith("uint"):
            other = str(int(str(fields[member["name"]])) + 1)
        else:
            other = _typical(member["type"], f"another {member['name']}")
        changed[member["name"]] = _encoded(name, fields | {member["name"]: other}, domain)[2]
    return changed


def document() -> str:
    """The whole vector file."""
    escrow = _address("an escrow")
    domain: dict[str, object] = {
        "name": "wwwserve",
        "version": "1",
        "chainId": CHAIN_ID,
        "verifyingContract": escrow,
    }
    messages = {}
    for name in TYPES:
        type_string = f"{name}({TYPES[name]})" + (f"ModelOffer({TYPES['ModelOffer']})" if name == "Offer" else "")
        messages[name] = {
            "type": type_string,
            "typeHash": "0x" + keccak(text=type_string).hex(),
            "cases": [_case(name, variant, domain) for variant in VARIANTS],
        }
    whole = {"domain": domain | {"separator": _separator(domain)}, "messages": messages}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Writes the vectors, or with --check compares them."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python contracts/tools/vectors.py --check")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file differs")
    if not parser.parse_args().check:
        VECTORS.write_text(document(), "utf-8")
        sys.stdout.write("vectors: written\n")
        return 0
    same = VECTORS.exists() and VECTORS.read_text("utf-8") == document()
    sys.stdout.write("vectors: current\n" if same else "vectors: differ from what eth-account encodes\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
