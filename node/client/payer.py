"""Who pays and how: everything of the owner's that the pay flow needs. Built once, at the edge; holds no state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.client.pins import Pins
from node.client.wallet import Limits
from node.core.hashing import Domain
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Signature
from node.ports.basics import Clock, Signer
from node.ports.engine import TokenCounter

MakeCounter = Callable[[bytes, bytes], TokenCounter]
"""From tokenizer.json and the template artifact."""
Recover = Callable[[Bytes32, Signature], Address]


class Dice(Protocol):
    """Where ids and salts come from."""

    def __call__(self, size: int, /) -> bytes:
        """Random bytes nobody can guess."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Randomness, time and the two libraries behind interfaces."""

    clock: Clock
    dice: Dice
    recover: Recover
    make_counter: MakeCounter


@dataclass(frozen=True, slots=True)
class Prices:
    """Base units per million LLM tokens."""

    prompt: Amount
    completion: Amount


@dataclass(frozen=True, slots=True)
class Payer:
    """One owner on one deployment. Each signer is a lane; `flags` are `Terms.flags` (no offload, no duel)."""

    address: Address
    signers: Sequence[Signer]
    domain: Domain
    currency: Address
    limits: Limits
    pins: Pins
    tools: Tools
    flags: int = 0
    hops: int = 0
    """Nodes the request has passed before this payer (`Terms.hops`): 0 for a client."""
    origin: Bytes32 = ZERO32
    """The hash of the terms that this purchase serves (`Terms.originHash`), when a node offloads."""
    attempts: int = 6
    """Sends of one id to one provider, with growing pauses. A node has others to ask and does not wait: 1."""
    dearest: Prices | None = None
    """The most this payer gives for a million LLM tokens."""

    twin: tuple[Bytes32, Bytes32] | None = None
    """(salt, request id) of a purchase made at another payee, when a node buys the same request again for a duel."""

    @property
    def network(self) -> str:
        """CAIP-2."""
        return f"eip155:{self.domain.chain_id}"

    def signer_of(self, key: LaneKey) -> Signer | None:
        """The signer of a lane, if this process has its key."""
        return next((signer for signer in self.signers if signer.address == key.lane), None)
