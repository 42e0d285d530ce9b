"""Logs as facts, and the checks that an endpoint's answer about logs is believable (threats I2, I4).

Only logs of our own addresses count, whatever else an endpoint returns. An empty answer is believed only when the
block's bloom filter rules our addresses out or the block's receipts agree.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from node.adapters.chain.abi import Interface
from node.core.errors import Broken
from node.core.facts import Block, ChainEvent
from node.core.hashing import keccak
from node.core.types import Address, Bytes32, Seconds

RawLog = Mapping[str, Any]
BLOOM_BYTES = 256
BLOOM_BITS_MASK = 2047


def unhex(text: object) -> bytes:
    """Bytes from 0x-hex of any length. Raises ValueError."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise ValueError("not 0x-hex")
    return bytes.fromhex(text[2:])


def block_of(header: Mapping[str, Any]) -> Block:
    """A block from its JSON header. Raises ValueError, KeyError or TypeError for another shape."""
    return Block(
        number=int(header["number"], 16),
        hash=Bytes32(unhex(header["hash"])),
        parent=Bytes32(unhex(header["parentHash"])),
        timestamp=Seconds(int(header["timestamp"], 16)),
    )


def may_contain(bloom: bytes, address: Address) -> bool:
    """Whether a logs bloom admits logs of `address`; False is certain, True is not."""
    if len(bloom) != BLOOM_BYTES:
        return True
    filled = int.from_bytes(bloom, "big")
    digest = keccak(address)
    return all(filled >> (int.from_bytes(digest[at : at + 2], "big") & BLOOM_BITS_MASK) & 1 for at in (0, 2, 4))


class LogReader:
    """Decodes the logs of one deployment."""

    def __init__(self, contracts: Mapping[Address, tuple[str, Interface]]) -> None:
        self._contracts = contracts

    def is_ruled_out(self, bloom: bytes) -> bool:
        """Whether a block with this bloom certainly has no log of ours."""
        return not any(may_contain(bloom, address) for address in self._contracts)

    def events(self, raw_logs: Sequence[RawLog]) -> tuple[ChainEvent, ...]:
        """Our events in chain order. Raises Broken for one the ABI lacks, ValueError and friends for malformed logs."""
        found = [self._event(raw) for raw in raw_logs if Address(unhex(raw["address"])) in self._contracts]
        places = {(event.block_hash, event.log_index) for event in found}
        if len(places) != len(found):
            raise Broken("an endpoint returned one log twice")
        return tuple(sorted(found, key=lambda event: event.place))

    def _event(self, raw: RawLog) -> ChainEvent:
        if raw.get("removed"):
            raise ValueError("a removed log")
        contract, interface = self._contracts[Address(unhex(raw["address"]))]
        name, args = interface.decode_log([unhex(topic) for topic in raw["topics"]], unhex(raw["data"]))
        return ChainEvent(
            block_number=int(raw["blockNumber"], 16),
            block_hash=Bytes32(unhex(raw["blockHash"])),
            log_index=int(raw["logIndex"], 16),
            tx_hash=Bytes32(unhex(raw["transactionHash"])),
            contract=contract,
            name=name,
            args=args,
        )
