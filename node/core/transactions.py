"""Transactions as values: what is wanted, what was signed, what the chain said. Nothing here sends."""

from dataclasses import dataclass
from enum import StrEnum

from node.core.types import Address, Amount, Bytes32, Seconds


@dataclass(frozen=True, slots=True)
class Call:
    """A contract call: what a transaction will do, before anybody pays for it."""

    to: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas. `base_fee` is the latest block's."""

    base_fee: int
    tip: int


@dataclass(frozen=True, slots=True)
class TxFields:
    """A transaction before it is signed; fees in wei per gas."""

    nonce: int
    gas: int
    max_fee: int
    tip: int
    call: Call


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed form of a wanted transaction. It is saved before it is sent; a replacement is one more attempt."""

    tx_hash: Bytes32
    nonce: int
    max_fee: int
    tip: int
    raw: bytes
    sent_at: Seconds


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """The chain's account of a mined transaction."""

    tx_hash: Bytes32
    block_number: int
    block_hash: Bytes32
    gas_used: int
    gas_price: int
    is_success: bool


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a call would do now: the gas it takes, and whether it is for nothing (a claim that pays no row)."""

    gas: int
    is_useless: bool


PAYING = frozenset({"Paid", "PaidPart"})
"""The escrow's names for a claim row that moves money."""


@dataclass(frozen=True, slots=True)
class ClaimPreview:
    """What the escrow would do with one claim row alone: the name of its status and the amount it pays."""

    status: str
    paid: Amount

    @property
    def is_paying(self) -> bool:
        """Whether the row would move money."""
        return self.status in PAYING


class TxState(StrEnum):
    """Where a wanted transaction stands. Open: wanted, sent, unknown, mined."""

    WANTED = "wanted"
    SENT = "sent"
    UNKNOWN = "unknown"
    """Sent, and nobody could say whether it arrived: it may still land, so its nonce stays taken."""
    MINED = "mined"
    CONFIRMED = "confirmed"
    REVERTED = "reverted"
    """Failed for good: it reverted on chain (final), its simulation did before it was ever sent, or another transaction
    used its nonce. The reason says which; whoever wanted it may want it again."""
    NEEDLESS = "needless"
    """Never sent: the simulation showed that it would do nothing, or its deadline had passed."""


DUEL = "duel"
EXPIRING = frozenset({DUEL})
"""Kinds of wishes that harm whoever sends them late: an opening in the next epoch is a proven fault."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A transaction somebody wants. One open row per `key`. `deadline` 0: none; else fees rise towards it."""

    key: str
    kind: str
    sender: Address
    call: Call
    deadline: Seconds

    def is_over(self, now: Seconds) -> bool:
        """Whether it must not be sent any more."""
        return self.kind in EXPIRING and 0 < self.deadline <= now


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A wish and what became of it. `version` counts its writes; `attempts` in the order they were signed."""

    id: int
    wish: Wish
    state: TxState
    version: int
    attempts: tuple[Attempt, ...]
    receipt: TxReceipt | None = None
    reason: str = ""
