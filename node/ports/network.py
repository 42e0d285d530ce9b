"""Other nodes: who is there, and how to speak to them safely (threats H1 to H8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.core.bids import ModelBid
from node.core.membership.members import Member, Registered
from node.core.types import Address
from node.ports.engine import Exchange


class Membership(Protocol):
    """Who is registered and who of them lives. Plain calls: no I/O, no waiting."""

    def alive(self, payee: Address) -> bool:
        """Whether this provider belongs into candidate sets now; False for one that is not registered."""

    def member(self, payee: Address) -> Member | None:
        """One provider; None when it is not registered. Constant time, unlike `members`."""

    def members(self) -> Mapping[Address, Member]:
        """Every registered provider, this node's own included. A snapshot: builds a dictionary."""

    def report_failure(self, payee: Address) -> None:
        """It did not keep its part just now: it leaves the candidate sets until it has answered a probe (soon)."""


class Bidding(Protocol):
    """What this node would bid now."""

    def standing_rows(self) -> Sequence[ModelBid]:
        """One row a model, at most `bids.MAX_MODELS`; called a few times a second, so it must be cheap."""


class ProviderBook(Protocol):
    """The registry and the operator keys, from this node's own books of the chain."""

    async def load_registered(self) -> Sequence[Registered]:
        """Every listed provider at the finalised block with its newest operator key."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may cost us: bytes of the answer's body, and seconds in all (connecting included)."""

    max_bytes: int = 64 * 1024
    seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class StreamCall:
    """A request whose answer is read as it comes.

    `headers`: only PAYMENT-SIGNATURE and ACCEPT pass, whatever a caller sent us stays here. `hops`: which offload of
    this request it is, as in the new Terms; above `endpoints.MAX_HOPS` the call is refused (threat H8).
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    hops: int = 0
    first_byte_seconds: float = 30.0
    """To status and headers, connecting and identity check included."""
    idle_seconds: float = 30.0
    """The longest silence inside the answer."""
    total_seconds: float = 600.0
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PeerReply:
    """A well-formed answer: any status, always a JSON object (an error of the peer's has its usual shape)."""

    status: int
    document: Mapping[str, object]


class PeerExchange(Exchange, Protocol):
    """An exchange with a peer: the relay reads it like an engine's, and it raises EngineFailed like one."""

    def header(self, name: str) -> str | None:
        """A field of the answer's head, once `start` has returned; `name` in small letters."""


class Peers(Protocol):
    """HTTP to registered providers only.

    Every connection goes to an address that was resolved once and is global, has shown a signature of the provider's
    operator key over a fresh challenge before a body is sent, and never follows a redirect.
    """

    async def post_json(self, member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        """POST JSON. Raises PeerFailed: unsafe, unreachable, wrong key, late, too large, not JSON."""

    async def post_packet(self, member: Member, packet: bytes, limits: Limits) -> bytes:
        """POST a membership packet, without challenge: packets are signed themselves. Raises PeerFailed."""

    def open_stream(self, member: Member, call: StreamCall) -> PeerExchange:
        """A POST that has not been sent yet. A stream of events that ends without `[DONE]` fails (threat H6)."""
