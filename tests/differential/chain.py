"""The real bytecode of a deployment set in an in-process EVM, called as the model is called.

It encodes, signs, sends and decodes; what should happen is the model's business.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from coincurve import PrivateKey
from eth_abi import decode, encode
from eth_utils import to_checksum_address
from pyrevm import EVM, BlockEnv, CfgEnv, Env

from node.core.hashing import Domain, keccak
from tests.differential.model import Times

ABI_FOLDER = Path(__file__).resolve().parents[2] / "node" / "abi"
CHAIN_ID = 31337
DEPLOYER = "0x00000000000000000000000000000000000D0d0D"
DUELS = "0x00000000000000000000000000000000000d0E15"
OUTPUT = re.compile(r"output: (0x[0-9a-f]*)")
GAS = 30_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to: `error` is None if it went through."""

    error: str | None
    arguments: tuple = ()
    returned: tuple = ()
    events: tuple = ()


@dataclass(slots=True)
class Contract:
    """One deployed contract with its ABI by name."""

    address: str
    functions: dict[str, tuple[bytes, list[str], list[str]]] = field(default_factory=dict)


def type_of(entry: dict) -> str:
    """The canonical type of an ABI entry: tuples spelt out."""
    if not entry["type"].startswith("tuple"):
        return entry["type"]
    inside = ",".join(type_of(component) for component in entry["components"])
    return f"({inside})" + entry["type"].removeprefix("tuple")


def _signature(entry: dict) -> str:
    return f"{entry['name']}({','.join(type_of(each) for each in entry['inputs'])})"


class Chain:
    """Escrow, Registry and DevCurrency, with one block a call."""

    def __init__(self, times: Times, dispute: int, min_stake: int, now: int, duels: str = DUELS) -> None:
        self.evm = EVM(env=Env(cfg=CfgEnv(chain_id=CHAIN_ID), block=BlockEnv(number=1, timestamp=now)))
        self.errors: dict[bytes, tuple[str, list[str]]] = {}
        self.topics: dict[bytes, tuple[str, list[dict]]] = {}
        self.evm.set_balance(DEPLOYER, 10**18)
        self.currency = self.deploy("DevCurrency", b"")
        predicted = self.predict(2)
        windows = (times.thaw, times.hold, times.payout_delay)
        arguments = (self.currency.address, predicted, duels, windows)
        self.escrow = self.deploy(
            "Escrow", encode(["address", "address", "address", "(uint64,uint64,uint64)"], arguments)
        )
        bonds = (times.unbonding, dispute, dispute)
        arguments = (self.escrow.address, min_stake, bonds)
        self.registry = self.deploy("Registry", encode(["address", "uint128", "(uint64,uint64,uint64)"], arguments))
        assert self.registry.address == predicted
        self.domain = Domain.of(CHAIN_ID, bytes.fromhex(self.escrow.address[2:]))
        self.now = now

    @staticmethod
    def predict(nonce: int) -> str:
        """Where the deployer's creation number `nonce` lands."""
        raw = b"\xd6\x94" + bytes.fromhex(DEPLOYER[2:]) + bytes([nonce])
        return to_checksum_address(keccak(raw)[12:])

    def deploy(self, name: str, arguments: bytes) -> Contract:
        """Creates a contract of the package and learns its ABI."""
        document = json.loads((ABI_FOLDER / f"{name}.json").read_text("utf-8"))
        contract = Contract(self.evm.deploy(DEPLOYER, bytes.fromhex(document["bytecode"][2:]) + arguments))
        contract.address = to_checksum_address(contract.address)
        for entry in document["abi"]:
            self._learn(contract, entry)
        return contract

    def _learn(self, contract: Contract, entry: dict) -> None:
        if entry["type"] == "function":
            selector = keccak(_signature(entry).encode())[:4]
            inputs, outputs = ([type_of(each) for each in entry[side]] for side in ("inputs", "outputs"))
            contract.functions[entry["name"]] = (selector, inputs, outputs)
        if entry["type"] == "error":
            types = [type_of(each) for each in entry["inputs"]]
            self.errors[keccak(_signature(entry).encode())[:4]] = (entry["name"], types)
        if entry["type"] == "event":
            self.topics[keccak(_signature(entry).encode())] = (entry["name"], entry["inputs"])

    # ------------------------------------------------------------------------------------------------------- calls
    def warp(self, now: int) -> None:
        """The time of the blocks from here on."""
        self.now = now
        self.evm.set_block_env(BlockEnv(number=1, timestamp=now))

    def call(self, contract: Contract, caller: str, name: str, *arguments: object) -> Outcome:
        """Sends one call and says what came of it."""
        selector, inputs, outputs = contract.functions[name]
        data = selector + encode(inputs, arguments)
        try:
            returned = self.evm.message_call(caller, contract.address, data, gas=GAS)
        except RuntimeError as reverted:
            return self._failure(str(reverted))
        events = tuple(self._event(log) for log in self.evm.result.logs)
        return Outcome(None, (), decode(outputs, returned), tuple(each for each in events if each))

    def _failure(self, text: str) -> Outcome:
        found = OUTPUT.search(text)
        assert found, text
        raw = bytes.fromhex(found[1][2:])
        name, types = self.errors[raw[:4]]
        return Outcome(name, decode(types, raw[4:]))

    def _event(self, log: object) -> tuple | None:
        topics = [bytes.fromhex(topic[2:]) if isinstance(topic, str) else bytes(topic) for topic in log.topics]
        name, inputs = self.topics[topics[0]]
        if name in ("Transfer", "Approval"):
            return None
        data = log.data[1] if isinstance(log.data, tuple) else log.data
        plain = iter(decode([type_of(each) for each in inputs if not each["indexed"]], bytes(data)))
        indexed = iter(topics[1:])
        return (
            name,
            *(decode([type_of(each)], next(indexed))[0] if each["indexed"] else next(plain) for each in inputs),
        )

    def named(self, event: tuple) -> dict[str, object]:
        """The arguments of an event of `call` by the ABI's names."""
        inputs = next(inputs for name, inputs in self.topics.values() if name == event[0])
        return {each["name"]: value for each, value in zip(inputs, event[1:], strict=True)}

    def view(self, contract: Contract, name: str, *arguments: object) -> bytes:
        """The raw answer of a view."""
        selector, inputs, _ = contract.functions[name]
        return self.evm.message_call(
            DEPLOYER, contract.address, selector + encode(inputs, arguments), gas=GAS, is_static=True
        )

    def sign(self, key: PrivateKey, struct_hash: bytes) -> tuple[bytes, bytes]:
        """The 64-byte signature over a struct hash in this set's domain."""
        raw = key.sign_recoverable(self.domain.digest(struct_hash), hasher=None)
        vs = int.from_bytes(raw[32:64]) | raw[64] << 255
        return raw[:32], vs.to_bytes(32)
