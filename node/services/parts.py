"""What the serve path is made of, handed from app.py as one frozen set; and its settings. No logic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from node.core.account import Outcome
from node.core.errors import WwwserveError
from node.core.types import Address, Bytes32, Signature
from node.ports.basics import Clock, Signer
from node.ports.engine import Offers
from node.ports.ledger import Ledger
from node.services.backends import Backends
from node.services.chain_view import ChainView
from node.services.lease import Lease
from node.services.quoting import Counters
from node.services.x402 import Market

if TYPE_CHECKING:
    from node.services.routes import Router

Recover = Callable[[Bytes32, Signature], Address]
"""Who signed a digest. Raises WrongSignature."""


class Observer(Protocol):
    """Counts what happens; called on the hot path, so it must be cheap and must not raise."""

    def admitted(self) -> None:
        """A reservation is durable."""

    def refused(self, error: WwwserveError) -> None:
        """A request got an error."""

    def first_byte(self, seconds: float) -> None:
        """From the arrival to the first event or body of the engine."""

    def closed(self, outcome: Outcome, seconds: float) -> None:
        """A receipt is durable."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Ports and sibling services of the serve path."""

    market: Market
    ledger: Ledger
    chain: ChainView
    offers: Offers
    counters: Counters
    backends: Backends
    signer: Signer
    recover: Recover
    clock: Clock
    lease: Lease
    observer: Observer
    router: "Router | None" = None
    """None: this node serves everything itself."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Limits of the paid routes."""

    max_concurrent: int = 256
    """Requests in service at once; more get 429 and Retry-After."""
    retry_after_seconds: int = 1
    max_early_hangups: int = 20
    """Hang-ups before the first token, and empty answers, that one payer may have in `early_hangup_seconds`: they cost
    the node a prefill each and are billed at nothing (billing table)."""
    early_hangup_seconds: float = 60.0
    cache_salt: bool = True
    """Give each payer its own prefix cache (vLLM's `cache_salt`), so that nobody learns by timing what another payer
    has asked (threat L5). Turn off for engines that refuse unknown members."""
