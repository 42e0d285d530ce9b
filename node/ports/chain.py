"""The chain, and what the books keep of it."""

from collections.abc import Sequence
from typing import Protocol

from node.core.facts import Block, ChainBatch, ChainEvent, Cursor
from node.core.folds import PayeeView, ProviderView
from node.core.settlement import SignedClaim
from node.core.transactions import Attempt, Call, ClaimPreview, Fees, Simulation, TxFields, TxReceipt
from node.core.types import Address, Bytes32, Seconds
from node.core.voucher import Standing
from node.ports.basics import Signer


class Chain(Protocol):
    """One chain with our contracts, behind one or more RPC endpoints. Every call has a deadline.

    Raises ChainUnavailable when no endpoint answers, CallReverted with the contract's error, BadConfig for a wrong
    chain id.
    """

    async def fetch_head(self) -> Block:
        """The newest block."""

    async def fetch_finalised(self) -> Block:
        """The newest block that cannot be undone any more."""

    async def fetch_block(self, number: int) -> Block:
        """A canonical block by number. Raises ChainUnavailable when the endpoint has not seen it (yet)."""

    async def fetch_events(self, block: Block) -> Sequence[ChainEvent]:
        """Our contracts' events of exactly this block, by its hash and cross-checked (threat I2)."""

    async def fetch_final_events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """Our contracts' events of a range of finalised blocks, cross-checked; for backfill."""

    async def fetch_fees(self) -> Fees:
        """What gas costs now."""

    async def fetch_nonce(self, address: Address) -> int:
        """The next nonce as of the head, pending transactions not counted."""

    async def fetch_tx(self, tx_hash: Bytes32) -> TxReceipt | None:
        """The receipt of a mined transaction; None when it is not mined as far as anybody can see."""

    async def fetch_final_nonce(self, address: Address) -> int:
        """The next nonce as of the finalised block: below it nothing can still be mined."""

    async def simulate(self, call: Call, sender: Address) -> Simulation:
        """What the call would do at the head. Raises CallReverted."""

    async def send_raw(self, raw: bytes) -> None:
        """Hand a signed transaction to every endpoint. One that is known already is no error.

        Raises TxRefused when every endpoint says no, ChainUnavailable when the outcome is unknown.
        """

    def sign_tx(self, fields: TxFields, signer: Signer, now: Seconds) -> Attempt:
        """Sign for this chain id."""

    def claim_call(self, claims: Sequence[SignedClaim]) -> Call:
        """`Escrow.claim` with these rows."""

    async def preview_claims(self, claims: Sequence[SignedClaim]) -> Sequence[ClaimPreview]:
        """`Escrow.previewClaim` at the head, one per row."""


class ChainBook(Protocol):
    """The chain's side of the books: what it says follows from `core.folds` over its events, from nothing else.

    A subject's derived rows (pair.cover, lane.claimed, signer, payee_state, provider) are replayed in one transaction
    with the events when (a) one of its events is booked or rolled back, or (b) one of its events passes from above
    `finalised` to at or below it (cover goes up, a signer or generation opens).
    """

    async def load_cursor(self) -> Cursor | None:
        """Where to go on; None before the first block."""

    async def load_block(self, number: int) -> Block | None:
        """A booked block; blocks above finalised are all kept, older ones may be pruned (those with events never)."""

    async def book(self, batch: ChainBatch) -> None:
        """Blocks, events, derived rows and cursor in one transaction. Booking the same batch again changes nothing.

        Raises Broken when the first block above the present head is not its child (roll back first), or an event is
        unknown or lacks an argument: nothing is written then and the cursor stays.
        """

    async def roll_back(self, number: int) -> None:
        """Forget every block above `number` with its events. Raises Broken below the finalised block."""

    async def load_standing(self, payee: Address, payer: Address, signer: Address) -> Standing:
        """What `core.voucher.check_voucher` needs. A payer's own key needs no authorisation."""

    async def load_payee(self, payee: Address) -> PayeeView:
        """A payee's operator and generations."""

    async def load_providers(self) -> Sequence[ProviderView]:
        """Every listed provider at the finalised block."""
