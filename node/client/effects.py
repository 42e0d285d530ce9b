"""What the pay flow asks of the world, as data. The flow is a generator that yields these and is sent the results.

One flow drives the sync client, the async client and the gateway. A network failure is a result, not an exception:
whether the request had left is money (an outcome can be unknown, and unknown is never treated as failed).
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from node.client.books import Books
from node.core.errors import WwwserveError
from node.core.types import Address, TokenCount

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A whole HTTP exchange. Result: Reply or NoReply."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    limit: int = 64 << 20
    """Bytes of a reply beyond which it is cut off and counted as no reply (threat H4)."""
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Open:
    """POST whose reply is read piece by piece. Result: Reply (without a body) or NoReply."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of the opened reply. Result: bytes, b"" at its end, or NoReply."""


@dataclass(frozen=True, slots=True)
class Shut:
    """Close the opened reply: the payee sees the hang-up."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand bytes of the answer to whoever asked."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell whoever asked that the answer failed; the flow goes on only to tidy up (a late receipt)."""

    error: WwwserveError


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class InWallet:
    """One durable wallet transaction. Result: the action's."""

    action: Callable[[Books], Any]


@dataclass(frozen=True, slots=True)
class Compute:
    """Work for the processor; `size` in bytes decides whether an event loop does it in a thread. Result: the work's."""

    work: Callable[[], Any]
    size: int


@dataclass(frozen=True, slots=True)
class ReadPayee:
    """The payee's operator and generation in the escrow at a finalised block. Result: escrow.PayeeFacts."""

    payee: Address


@dataclass(frozen=True, slots=True)
class ReadOperator:
    """The operator of one generation, past or present. Result: Address."""

    payee: Address
    generation: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NoReply:
    """No (whole) reply. `was_sent` is False only when the request surely did not reach the other side."""

    was_sent: bool
    why: str


class HungUp(Exception):
    """Whoever asked has gone. Thrown at most once, at a Fetch, Open, Read, Emit or Sleep."""

    proven: TokenCount | None = None
    """Once the flow has ended: what the provider's receipt proves, if there is one."""


class GaveUp(HungUp):
    """Whoever asked waited in vain: nothing of the answer can have been on its way, so nothing unseen is owed."""


Effect: TypeAlias = Fetch | Open | Read | Shut | Emit | Fail | Sleep | InWallet | Compute | ReadPayee | ReadOperator
Flow: TypeAlias = Generator[Effect, Any, T]
