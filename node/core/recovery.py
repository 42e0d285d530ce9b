"""What tells restored books from present ones, and what a lane's owner signs to agree on a new start (rule 6). Pure.

A payee that goes on signing from an old backup contradicts its own newer receipts and can be convicted for it (threat
P8). So a mark of how far its receipts have come is kept outside the database, and compared before anything is signed.
"""

from dataclasses import dataclass

from node.core.hashing import address_word, keccak, word
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros

LANE_NOTE_TYPE_HASH = keccak(
    b"LaneNote(address payer,address payee,address lane,uint32 generation,bytes32 lastReceipt)"
)
INSTRUCTION = "stop serving this payee elsewhere, then run: python scripts/recover.py bump"
"""The one thing an operator has to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a payee's receipts have come: how many there are, and the highest `seq` of any lane.

    Both only ever grow, whatever generation, so one file beside the key is enough for all lanes. `generation` is the
    newest in which a receipt was written: a later one on chain means that the loss has been dealt with.
    """

    generation: int = 0
    count: int = 0
    seq: Micros = Micros(0)

    def is_behind(self, seen: "Mark") -> bool:
        """Whether books at this mark have forgotten receipts that existed at `seen`."""
        return self.count < seen.count or self.seq < seen.seq


@dataclass(frozen=True, slots=True)
class LaneGap:
    """A lane of which somebody else (the escrow, a watchtower) knows more than the books."""

    key: LaneKey
    charged: Amount
    proved: Amount
    by: str

    def line(self) -> str:
        """For the operator."""
        return f"{self.by} knows {self.proved} of lane 0x{self.key.lane.hex()}, the books only {self.charged}"


@dataclass(frozen=True, slots=True)
class SettledClaim:
    """What the chain says of a mined claim: enough to make the claim again from its receipts."""

    key: LaneKey
    seq: Micros
    cumulative: Amount
    count: int
    root: Bytes32


@dataclass(frozen=True, slots=True)
class LaneNote:
    """Signed by a lane: "in `generation` go on from this receipt of yours" (its hash; 0 = none).

    Signed, because receipts are public: a stranger must not restart somebody's lane from an old one.
    """

    payer: Address
    payee: Address
    lane: Address
    generation: int
    last_receipt: Bytes32 = ZERO32

    @property
    def key(self) -> LaneKey:
        """The lane in the generation to open."""
        return LaneKey(self.payer, self.payee, self.lane, self.generation)

    def struct_hash(self) -> Bytes32:
        """EIP-712 hashStruct."""
        return keccak(
            LANE_NOTE_TYPE_HASH
            + address_word(self.payer)
            + address_word(self.payee)
            + address_word(self.lane)
            + word(self.generation)
            + self.last_receipt,
        )


def behind_line(books: Mark, seen: Mark) -> str:
    """For the operator: what the file beside the key remembers and the books do not."""
    return (
        f"the books end at {books.count} receipts (seq {books.seq}), but {seen.count} (seq {seen.seq}) were given out: "
        "the database was restored from a backup, or lost"
    )
