"""A provider as this node sees it: what the registry says of it, and whether it lives. Decides nothing."""

from dataclasses import dataclass
from enum import StrEnum

from node.core.bids import SignedBid
from node.core.types import ZERO32, Address, Amount, Bytes32


class Liveness(StrEnum):
    """What this node believes. Only ALIVE providers, and SUSPECTED ones on another's word alone, are candidates."""

    UNKNOWN = "unknown"
    """Registered, never heard of."""
    ALIVE = "alive"
    SUSPECTED = "suspected"
    DEAD = "dead"
    LEFT = "left"
    """It said so itself."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One provider of the registry (finalised) with its operator key (escrow): the only source of who is who."""

    payee: Address
    operator: Address
    endpoint: str
    stake: Amount = Amount(0)
    offer_hash: Bytes32 = ZERO32


@dataclass(frozen=True, slots=True)
class Member:
    """A registered provider with its liveness. `is_alive`: whether it belongs into candidate sets now.

    `bid` is its newest standing bid, `bid_age_seconds` the time since this node first heard it.
    """

    registered: Registered
    state: Liveness
    is_alive: bool
    incarnation: int
    bid: SignedBid | None = None
    bid_age_seconds: float | None = None

    @property
    def payee(self) -> Address:
        """Whose node it is."""
        return self.registered.payee

    @property
    def operator(self) -> Address:
        """The key that signs for it."""
        return self.registered.operator

    @property
    def endpoint(self) -> str:
        """Its URL, as registered: checked by the adapter before every connection, by nobody before that."""
        return self.registered.endpoint

    @property
    def stake(self) -> Amount:
        """Its bond in the registry, base units."""
        return self.registered.stake
