"""The contracts' binary interface: encode calls, decode results, logs and custom errors. Talks to nobody.

Addresses and bytes are `bytes` on our side; structs come back as dicts with the names of the ABI.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from node.core.errors import BadConfig, Broken, CallReverted, Fact
from node.core.hashing import keccak

Entry = Mapping[str, Any]
SELECTOR_BYTES = 4


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract as built: its ABI and its creation code."""

    name: str
    abi: tuple[Entry, ...]
    bytecode: bytes


@cache
def load_artifact(name: str) -> Artifact:
    """An artifact shipped with this package, e.g. "Escrow". Raises BadConfig when there is none."""
    file = files("node.abi").joinpath(f"{name}.json")
    try:
        document = json.loads(file.read_text())
        return Artifact(name, tuple(document["abi"]), bytes.fromhex(document["bytecode"].removeprefix("0x")))
    except (OSError, ValueError, KeyError) as exc:
        raise BadConfig(f"the package's artifact node/abi/{name}.json is missing or broken", artifact=name) from exc


def type_of(entry: Entry) -> str:
    """The canonical type of a parameter: structs become tuples."""
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(type_of(part) for part in entry["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


def _signature(entry: Entry) -> str:
    return f"{entry['name']}({','.join(type_of(part) for part in entry['inputs'])})"


@dataclass(frozen=True, slots=True)
class Interface:
    """The tables of one contract: functions by name, events by topic, errors by selector."""

    name: str
    functions: Mapping[str, Entry]
    events: Mapping[bytes, Entry]
    errors: Mapping[bytes, Entry]
    constructor: Entry

    @staticmethod
    def of(artifact: Artifact) -> "Interface":
        """Build the tables. Overloaded functions are not supported (the contracts have none)."""
        by_kind = {kind: [e for e in artifact.abi if e["type"] == kind] for kind in ("function", "event", "error")}
        empty: Entry = {"inputs": []}
        constructor = next((e for e in artifact.abi if e["type"] == "constructor"), empty)
        return Interface(
            artifact.name,
            {str(e["name"]): e for e in by_kind["function"]},
            {keccak(_signature(e).encode()): e for e in by_kind["event"]},
            {keccak(_signature(e).encode())[:SELECTOR_BYTES]: e for e in by_kind["error"]},
            constructor,
        )

    def encode_call(self, function: str, *args: object) -> bytes:
        """Call data. Raises Broken for arguments that do not fit."""
        entry = self.functions[function]
        return keccak(_signature(entry).encode())[:SELECTOR_BYTES] + _encode(entry["inputs"], args, function)

    def encode_constructor(self, *args: object) -> bytes:
        """The constructor's arguments, to append to the creation code."""
        return _encode(self.constructor["inputs"], args, "constructor")

    def decode_result(self, function: str, raw: bytes) -> tuple[Any, ...]:
        """A call's results. Raises Broken when they do not fit the ABI."""
        return _decode(self.functions[function]["outputs"], raw, function)

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]]:
        """Name and arguments of a log. Raises Broken for an event this ABI does not know."""
        entry = self.events.get(topics[0]) if topics else None
        if entry is None:
            raise Broken(
                "the contract emitted an event its ABI lacks: is the deployment another version?", at=self.name
            )
        indexed = [part for part in entry["inputs"] if part["indexed"]]
        plain = [part for part in entry["inputs"] if not part["indexed"]]
        found = dict(zip((p["name"] for p in plain), _decode(plain, data, entry["name"]), strict=True))
        for part, topic in zip(indexed, topics[1:], strict=True):
            found[part["name"]] = _decode([part], topic, entry["name"])[0]
        return str(entry["name"]), {str(part["name"]): found[part["name"]] for part in entry["inputs"]}


def _encode(inputs: Sequence[Entry], args: Sequence[object], what: str) -> bytes:
    try:
        values = [_plain(part, arg) for part, arg in zip(inputs, args, strict=True)]
        return bytes(encode([type_of(part) for part in inputs], values))
    except (EncodingError, TypeError, ValueError, KeyError) as exc:
        raise Broken("these arguments do not fit the contract", call=what, reason=str(exc)) from exc


def _plain(entry: Entry, value: Any) -> Any:  # noqa: ANN401 -- the union of all ABI values
    """Structs given as dicts, by the ABI's names: a field that moves in Solidity is not silently taken for another."""
    kind = str(entry["type"])
    if kind.endswith("]"):
        element = {**entry, "type": kind[: kind.rindex("[")]}
        return [_plain(element, item) for item in value]
    if kind == "tuple" and isinstance(value, Mapping):
        if value.keys() != {part["name"] for part in entry["components"]}:
            raise ValueError(f"a struct must have exactly the members {[p['name'] for p in entry['components']]}")
        return tuple(_plain(part, value[part["name"]]) for part in entry["components"])
    return value


def _decode(outputs: Sequence[Entry], raw: bytes, what: str) -> tuple[Any, ...]:
    try:
        values = decode([type_of(part) for part in outputs], raw)
    except (DecodingError, TypeError, ValueError, OverflowError) as exc:
        raise Broken("the chain's answer does not fit the ABI: is this the right contract?", call=what) from exc
    return tuple(_shaped(part, value) for part, value in zip(outputs, values, strict=True))


def _shaped(entry: Entry, value: Any) -> Any:  # noqa: ANN401 -- the union of all ABI values
    kind = str(entry["type"])
    if kind.endswith("]"):
        element = {**entry, "type": kind[: kind.rindex("[")]}
        return tuple(_shaped(element, item) for item in value)
    if kind == "tuple":
        return {part["name"]: _shaped(part, item) for part, item in zip(entry["components"], value, strict=True)}
    if kind == "address":
        return bytes.fromhex(value[2:])
    return value


STANDARD_ERRORS: tuple[Entry, ...] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "reason", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "panic", "type": "uint256"}]},
)


def error_table(interfaces: Sequence[Interface]) -> Mapping[bytes, Entry]:
    """All custom errors a call may bubble up, by selector."""
    table = {keccak(_signature(e).encode())[:SELECTOR_BYTES]: e for e in STANDARD_ERRORS}
    for interface in interfaces:
        table.update(interface.errors)
    return table


def reverted(table: Mapping[bytes, Entry], raw: bytes, fallback: str) -> CallReverted:
    """A contract's refusal with the values of its custom error, for a person and for a program."""
    entry = table.get(raw[:SELECTOR_BYTES])
    if entry is None:
        return CallReverted(f"the contract refuses: {fallback}", error=fallback, selector="0x" + raw[:4].hex())
    values = _decode(entry["inputs"], raw[SELECTOR_BYTES:], str(entry["name"]))
    facts: dict[str, Fact] = {
        str(part["name"]): "0x" + value.hex() if isinstance(value, bytes) else value
        for part, value in zip(entry["inputs"], values, strict=True)
    }
    shown = ", ".join(f"{name}={value}" for name, value in facts.items())
    return CallReverted(f"the contract refuses: {entry['name']}({shown})", **{**facts, "error": str(entry["name"])})
