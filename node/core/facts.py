"""What the chain said, as frozen facts. Never asks a chain; what follows from facts is in `core.folds`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from node.core.errors import Broken
from node.core.types import Address, Bytes32, Seconds

Arg = int | str | bytes
ArgT = TypeVar("ArgT", int, str, bytes)
TEXT_ARGS = frozenset({"endpoint", "oldEndpoint", "newEndpoint"})
"""The only event arguments that are text (and a registered endpoint may well begin with 0x)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block's place in the chain."""

    number: int
    hash: Bytes32
    parent: Bytes32
    timestamp: Seconds


@dataclass(frozen=True, slots=True)
class ChainEvent:
    """One log of our contracts. `args` carries the ABI's names; addresses and bytes32 as bytes.

    `contract` is "escrow", "registry" or "duels". Its identity is (block_hash, log_index).
    """

    block_number: int
    block_hash: Bytes32
    log_index: int
    tx_hash: Bytes32
    contract: str
    name: str
    args: Mapping[str, Arg]

    @property
    def place(self) -> tuple[int, int]:
        """Order within the chain."""
        return (self.block_number, self.log_index)

    def octets(self, name: str) -> bytes:
        """A bytes argument of any length. Raises Broken when the event has none of that name (so do those below)."""
        return self._arg(name, bytes)

    def address(self, name: str) -> Address:
        """An address argument."""
        return Address(self._arg(name, bytes))

    def bytes32(self, name: str) -> Bytes32:
        """A bytes32 argument."""
        return Bytes32(self._arg(name, bytes))

    def number(self, name: str) -> int:
        """An integer argument."""
        return self._arg(name, int)

    def text(self, name: str) -> str:
        """A text argument."""
        return self._arg(name, str)

    def _arg(self, name: str, kind: type[ArgT]) -> ArgT:
        found = self.args.get(name)
        if not isinstance(found, kind):
            raise Broken("a chain event lacks an argument: ABI and chain differ", event=self.name, argument=name)
        return found


def args_to_json(args: Mapping[str, Arg]) -> dict[str, str]:
    """Arguments for storage: integers as decimal strings, bytes as 0x-hex, text as it is."""
    return {name: "0x" + arg.hex() if isinstance(arg, bytes) else str(arg) for name, arg in args.items()}


def args_from_json(stored: Mapping[str, str]) -> dict[str, Arg]:
    """The reverse of `args_to_json`."""
    return {name: text if name in TEXT_ARGS else _arg_of(text) for name, text in stored.items()}


def _arg_of(text: str) -> Arg:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else int(text)


class Kind(StrEnum):
    """What an event is about."""

    PAYER = "payer"
    PAIR = "pair"
    LANE = "lane"
    SIGNER = "signer"
    PAYEE = "payee"
    PROVIDER = "provider"
    DUEL = "duel"
    MEMBER = "member"
    SEED = "seed"
    PURSE = "purse"
    CULPRIT = "culprit"


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing with a history of its own; `key` = its addresses, one after the other (payer, payee, lane).

    A duel's key is its id.
    """

    kind: Kind
    key: bytes


_SUBJECTS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "Deposited": (Kind.PAYER, ("payer",)),
    "Withdrawn": (Kind.PAYER, ("payer",)),
    "Allotted": (Kind.PAIR, ("payer", "payee")),
    "ThawRequested": (Kind.PAIR, ("payer", "payee")),
    "ThawCancelled": (Kind.PAIR, ("payer", "payee")),
    "ThawFinished": (Kind.PAIR, ("payer", "payee")),
    "Settled": (Kind.LANE, ("payer", "payee", "lane")),
    "OverclaimChallenged": (Kind.LANE, ("payer", "payee", "lane")),
    "SignerAuthorized": (Kind.SIGNER, ("signer",)),
    "SignerCapRaised": (Kind.SIGNER, ("signer",)),
    "SignerThawing": (Kind.SIGNER, ("signer",)),
    "SignerRevoked": (Kind.SIGNER, ("signer",)),
    "OperatorSet": (Kind.PAYEE, ("payee",)),
    "GenerationBumped": (Kind.PAYEE, ("payee",)),
    "PayoutRequested": (Kind.PAYEE, ("payee",)),
    "EarningsCollected": (Kind.PAYEE, ("payee",)),
    "Registered": (Kind.PROVIDER, ("provider",)),
    "EndpointSet": (Kind.PROVIDER, ("provider",)),
    "OfferSet": (Kind.PROVIDER, ("provider",)),
    "StakeAdded": (Kind.PROVIDER, ("provider",)),
    "UnstakeRequested": (Kind.PROVIDER, ("provider",)),
    "Deregistered": (Kind.PROVIDER, ("provider",)),
    "StakeWithdrawn": (Kind.PROVIDER, ("provider",)),
    "Slashed": (Kind.PROVIDER, ("provider",)),
    "Opened": (Kind.DUEL, ("duelId",)),
    "Asked": (Kind.DUEL, ("duelId",)),
    "Drawn": (Kind.DUEL, ("duelId",)),
    "Committed": (Kind.DUEL, ("duelId",)),
    "Revealed": (Kind.DUEL, ("duelId",)),
    "AppealOpened": (Kind.DUEL, ("duelId",)),
    "Finalized": (Kind.DUEL, ("duelId",)),
    "Enrolled": (Kind.MEMBER, ("provider",)),
    "Resigned": (Kind.MEMBER, ("provider",)),
    "DelegateSet": (Kind.MEMBER, ("provider",)),
    "Adopted": (Kind.MEMBER, ("provider",)),
    "ControllerSet": (Kind.MEMBER, ("provider",)),
    "Weighed": (Kind.MEMBER, ("provider",)),
    "SeedCommitted": (Kind.SEED, ("dispatcher",)),
    "SeedRevealed": (Kind.SEED, ("dispatcher",)),
    "Funded": (Kind.PURSE, ("account",)),
    "Collected": (Kind.PURSE, ("account",)),
    "FaultProven": (Kind.CULPRIT, ("culprit",)),
}


def subject_of(event: ChainEvent) -> Subject:
    """Whose history the event belongs to. Raises Broken for a name this code does not know (it is never skipped)."""
    known = _SUBJECTS.get(event.name)
    if known is None:
        raise Broken("the contracts emitted an event this node does not know", event=event.name)
    kind, names = known
    return Subject(kind, b"".join(event.octets(name) for name in names))


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the books follow the chain: `head` is the last booked block; `finalised` <= head.number is final."""

    head: Block
    finalised: int


@dataclass(frozen=True, slots=True)
class ChainBatch:
    """News of the chain in order; `blocks` end with the new head.

    Above `finalised` every block is there; at or below it, those without events may be left out (backfill).
    """

    blocks: tuple[Block, ...]
    events: tuple[ChainEvent, ...]
    finalised: int
