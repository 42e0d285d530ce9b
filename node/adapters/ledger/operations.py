"""What can be asked of the writer, and what it answers: the queue's elements, without behaviour."""

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.core.account import Admission, Outcome
from node.core.messages import Receipt
from node.core.types import Address, Bytes32, Micros, Signature

Triple = tuple[Address, Address, Address]
"""(payer, payee, lane): a lane for life, whatever its generation."""
Request = tuple[Triple, Bytes32]
"""A lane and a request id."""


@dataclass(slots=True, eq=False)
class Admit:
    """Reserve for a request. Answer: None, or the Stored request of that id."""

    admission: Admission
    future: "Future[Any]"
    is_repeat: bool = False
    """The first try's commit had an unknown end: an open row of this very admission is our own."""
    request: Request = field(init=False)

    def __post_init__(self) -> None:
        self.request = request_of(self.admission)


@dataclass(slots=True, eq=False)
class Close:
    """Charge a request. Answer: its Receipt."""

    admission: Admission
    outcome: Outcome
    now: Micros
    future: "Future[Any]"
    is_repeat: bool = False
    request: Request = field(init=False)

    def __post_init__(self) -> None:
        self.request = request_of(self.admission)


@dataclass(slots=True, eq=False)
class KeepSignature:
    """Store a receipt's signature. Nobody waits."""

    receipt: Receipt
    signature: Signature
    future: "Future[Any] | None" = None
    is_repeat: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """Any other write, with a transaction of its own.

    It runs on the writer's thread so that SQLite's one write lock is taken in turn and nobody starves; on PostgreSQL
    the order does no harm.
    """

    work: Callable[[], Any]
    future: "Future[Any]"


Operation = Admit | Close | KeepSignature


def request_of(admission: Admission) -> Request:
    """The id under which a lane knows a request."""
    key = admission.key
    return ((key.payer, key.payee, key.lane), admission.terms.request_id)
