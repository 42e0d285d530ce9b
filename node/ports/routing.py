"""What routing needs of the outside: bought answers of other nodes, and a book of draws."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from node.core.answers import SignedAnswer
from node.core.membership.members import Member
from node.core.messages import Receipt
from node.core.routing.types import RouteRequest
from node.core.types import Address, Amount, Bytes32, Micros, Signature
from node.ports.engine import BoughtExchange


@dataclass(frozen=True, slots=True)
class Twin:
    """What a second purchase of one request has in common with the first, so that both executors sign for the same."""

    salt: Bytes32
    request_id: Bytes32


@dataclass(frozen=True, slots=True)
class Purchase:
    """One request as this node buys it from a peer (protocol rule 7): prices and maximum leave the node its margin.

    `origin` is the hash of the terms that it serves with it; `hops` counts the nodes before the peer.
    """

    member: Member
    path: str
    body: bytes
    origin: Bytes32
    hops: int
    flags: int
    price_prompt: Amount
    price_completion: Amount
    most: Amount
    start_seconds: float
    """To the first bytes of the answer; then the next candidate is asked."""
    idle_seconds: float
    """The longest silence inside the answer."""
    twin: Twin | None = None
    asked: RouteRequest | None = None
    """What peers are asked before it is bought. Its prompt's tokens are counted by this node's own offer's rules, the
    only ones it buys under."""


@dataclass(frozen=True, slots=True)
class Bargain:
    """A whole answer that was bought: the bytes of both ways, and the executor's signed word on it."""

    purchase: Purchase
    body: bytes
    raw: bytes
    receipt: Receipt
    answer: SignedAnswer
    salt: Bytes32


class PeerExchange(BoughtExchange, Protocol):
    """A purchase as an engine's exchange."""

    @property
    def bargain(self) -> Bargain | None:
        """Once it was read to its proper end, if its executor signed for it and it is kept (`PeerMarket.watch`)."""


class PeerMarket(Protocol):
    """Buys answers of peers in this node's own lane."""

    def watch(self, told: Callable[[Bargain], None]) -> None:
        """Keep the bytes of purchases that may be duelled, and tell of each that came whole. Twins are not told of."""

    def open(self, purchase: Purchase) -> PeerExchange:
        """A purchase that has not begun. The exchange reads like an engine's and raises EngineFailed like one.

        What it costs is booked whatever the reader does: late receipts are asked for, the evidence is kept.
        """

    def cover_left(self, payee: Address) -> Amount:
        """What this node may still spend at a peer, as far as it knows now. No I/O."""


class PeerSellers(Protocol):
    """Who would sell."""

    def asked(self, purchase: Purchase, model: Bytes32) -> AbstractAsyncContextManager[bool]:
        """Whether its peer may be bought from, found out as for any offload: by its standing bid, or by asking (D6).

        While the context is open, what is bought counts among what was sent to that peer. Raises PeerRefused.
        """


@dataclass(frozen=True, slots=True)
class KeptDraw:
    """The canonical document of one draw and the dispatcher's signature over it."""

    document: str
    signature: Signature
    made_at: Micros


class DrawBook(Protocol):
    """Every draw of this node, for auditors."""

    async def keep(self, request_id: Bytes32, number: int, kept: KeptDraw) -> None:
        """Store a draw; round `number` of its request. Raises LedgerUnavailable."""

    async def load(self, request_id: Bytes32) -> Sequence[KeptDraw]:
        """All rounds of a request, in order."""

    async def purge(self, before: Micros, most: int) -> int:
        """Forget draws made before a moment, the oldest first, at most so many at once; how many those were."""
