"""What the services need of the world, as few methods as possible. No logic here; fakes live in tests/fakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.facts import Block, ChainBatch, ChainEvent, Cursor
from node.core.folds import PayeeView, ProviderView
from node.core.messages import Claim, Offer, Receipt, Voucher
from node.core.pushes import HeldClaim
from node.core.recovery import LaneGap, Mark, SettledClaim
from node.core.rows import RowCursor, RowFilters, RowKind, RowPage
from node.core.settlement import DueLane, SignedClaim
from node.core.transactions import (
    Attempt,
    Call,
    ClaimPreview,
    Fees,
    OutboxRow,
    Simulation,
    TxFields,
    TxReceipt,
    TxState,
    Wish,
)
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature, TokenCount
from node.core.voucher import Standing


class Clock(Protocol):
    """Wall clock and monotonic clock, in one place so that tests can bend them."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never step back."""


class Signer(Protocol):
    """One private key behind an interface that never shows it (threat K1)."""

    @property
    def address(self) -> Address:
        """The key's address."""

    def sign(self, digest: Bytes32) -> Signature:
        """Deterministic (RFC 6979) signature of a 32-byte digest."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A request the ledger knows: open while `receipt` is None. `signature` may follow its receipt a little later."""

    admission: Admission
    receipt: Receipt | None = None
    signature: Signature | None = None


class Ledger(Protocol):
    """The payee's books. Every method that writes returns only after the write is durable.

    Raises LedgerUnavailable when no durable write is possible; then nothing was written.
    """

    async def admit(self, admission: Admission) -> Stored | None:
        """Reserve under the row locks of lane and pair (core.account.admit); None when reserved now.

        A known (payer, lane, request id) reserves nothing and is returned as it stands. Raises the refusals of `admit`,
        WrongSignature for a signer that is unknown or thawing, CoverTooLow for an unknown pair.
        """

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        """Charge and release (core.account.close). Closing a closed request returns its receipt unchanged."""

    async def keep_signature(self, receipt: Receipt, signature: Signature) -> None:
        """Store an operator signature soon (not awaited: it can always be made again)."""

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        """One request by its id."""

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        """The lane's totals."""

    async def load_best_voucher(self, key: LaneKey) -> tuple[Voucher, Signature] | None:
        """The voucher with the highest ceiling of a lane and generation, as the payer signed it (rule 6)."""

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        """The pair's totals."""

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        """Receipts of a lane and generation with seq > `after`, in order."""

    async def load_receipts_from(self, key: LaneKey, index: int, limit: int) -> Sequence[Stored]:
        """Receipts of a lane and generation as leaves `index`, `index` + 1, ... of its receipts tree."""

    async def load_abandoned(self) -> Sequence[Admission]:
        """Open requests whose worker's lease has expired."""

    async def take_lease(self, seconds: Seconds) -> int:
        """A new lease epoch for this worker; admissions carry it."""

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        """False when the lease had expired: abort all streams and sign nothing more."""


class Exchange(Protocol):
    """One request to an engine under way. Every wait has a deadline."""

    async def start(self) -> int:
        """Send it and return the HTTP status once the headers are in. Raises EngineFailed."""

    async def read(self) -> bytes:
        """The next raw body bytes, unparsed; b"" at the proper end. Raises EngineFailed when cut short."""

    def cancel(self) -> None:
        """Drop it at once, so that the engine stops generating; a waiting `start` or `read` raises EngineFailed."""


class Engine(Protocol):
    """An OpenAI-compatible inference server."""

    def open(self, path: str, body: bytes) -> Exchange:
        """A POST that has not been sent yet."""

    async def is_healthy(self) -> bool:
        """Whether it would take a request now."""


class TokenCounter(Protocol):
    """The one billing count for one (tokenizer, template) pair."""

    @property
    def tokenizer_hash(self) -> Bytes32:
        """keccak of tokenizer.json."""

    @property
    def template_hash(self) -> Bytes32:
        """keccak of the chat template."""

    def count_prompt(self, body: Mapping[str, object]) -> int:
        """Prompt tokens of a chat or completion body. Raises BadRequest for a body the template refuses."""

    def count_completion(self, text: str) -> int:
        """Tokens of delivered text, re-encoded, no end token."""


class Offers(Protocol):
    """This node's present offer and the earlier ones it must still be able to show."""

    def current(self) -> Offer:
        """The offer in force now."""

    def by_hash(self, offer_hash: Bytes32) -> Offer | None:
        """An offer this node ever made."""


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


class LedgerPages(Protocol):
    """The books for auditors: public columns (core.rows.COLUMNS), oldest first, pages by key."""

    async def load_page(self, kind: RowKind, filters: RowFilters, after: RowCursor, limit: int) -> RowPage:
        """Up to `limit` rows (at most LONGEST_PAGE) behind `after`. Raises LedgerUnavailable."""


class SettlementBook(Protocol):
    """The payee's side of settling: what is unclaimed and which claims were signed."""

    async def load_due(self, payee: Address, limit: int) -> Sequence[DueLane]:
        """Lanes with `charged > claimed` (see DueLane), largest unclaimed first; frozen and old generations too."""

    async def load_last_claim(self, key: LaneKey) -> SignedClaim | None:
        """The newest claim signed for a lane and generation, whatever became of its transaction."""

    async def load_claim_of_root(self, root: Bytes32) -> SignedClaim | None:
        """The claim that committed to this receipts root, for `GET /v1/settlements/{root}`."""

    async def load_receipts_after(self, key: LaneKey, seq: Micros, limit: int) -> Sequence[Receipt]:
        """Receipts with seq > `seq`, in order: the leaves to append to the last claim's peaks."""

    async def save_claims(self, claims: Sequence[SignedClaim], wish: Wish) -> int | None:
        """Keep the claims and want their transaction, in one commit; the outbox id.

        None, and nothing saved, when an open transaction already carries one of them (two settlers are harmless). A
        claim whose transaction failed may be saved again: it is one claim row with two outbox rows.
        """


class Outbox(Protocol):
    """Durable transactions. One sender owns the nonce; a second one loses the race for `version` and does nothing."""

    async def add(self, wish: Wish) -> int | None:
        """Want a transaction; None when an open row has the same key."""

    async def load_open(self, sender: Address) -> Sequence[OutboxRow]:
        """Open rows, oldest first."""

    async def load_row(self, row_id: int) -> OutboxRow | None:
        """One row."""

    async def save_attempt(self, row: OutboxRow, attempt: Attempt) -> bool:
        """Durable before sending: state sent, version + 1.

        False, and nothing saved, when another sender was faster or the nonce belongs to another row of this sender.
        """

    async def save_state(
        self,
        row: OutboxRow,
        state: TxState,
        *,
        receipt: TxReceipt | None = None,
        reason: str = "",
    ) -> bool:
        """State with its receipt or reason, version + 1. False when another sender was faster."""


class HighWaterMark(Protocol):
    """How far receipts had come, remembered outside the database (threat P8)."""

    @property
    def seen(self) -> Mark | None:
        """The newest mark; None before the first."""

    @property
    def is_behind(self) -> bool:
        """Whether a database that came back turned out to be an older one."""

    def accept(self, mark: Mark) -> None:
        """The books as they are now are the truth."""


class RecoveryBook(Protocol):
    """What finding out about, and healing, restored books asks of the ledger (protocol rule 6)."""

    async def load_mark(self, generation: int) -> Mark:
        """How far the books' receipts have come."""

    async def load_claimed_ahead(self, payee: Address, generation: int) -> Sequence[LaneGap]:
        """Lanes of which the escrow has paid more in this generation than the books have charged."""

    async def load_generations(self, key: LaneKey) -> Mapping[int, tuple[Micros, int]]:
        """(last seq, count) of every generation in which the books know this lane."""

    async def load_waiting(self, payee: Address, generation: int) -> Sequence[tuple[LaneKey, bool]]:
        """Every lane of a payee, and whether it is open in this generation."""

    async def load_settled(self, key: LaneKey) -> Sequence[SettledClaim]:
        """Every mined claim of a lane, in whatever generation."""

    async def freeze_lanes(self, payee: Address) -> int:
        """Admit nothing more in any present account; how many were frozen."""

    async def void_reservations(self, payee: Address) -> int:
        """Drop what frozen accounts still held open, without receipts; how many."""

    async def restore_receipts(self, key: LaneKey, found: Sequence[Stored], now: Seconds) -> int:
        """Put back checked receipts of a closed generation while they continue its account; how many."""

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        """Start a generation's account at max(base, escrow's claimed, what the books charged); an open one stays.

        Raises NotFound without a pair, LaneFrozen while an earlier generation has requests in flight.
        """

    async def keep_claim(self, signed: SignedClaim) -> None:
        """A mined claim, made again from its receipts."""


@dataclass(frozen=True, slots=True)
class TowerClaim:
    """What a watchtower shows of a lane: the newest claim that was pushed to it."""

    claim: Claim
    signature: Signature


class Tower(Protocol):
    """One watchtower. Raises TowerUnavailable when it does not answer."""

    @property
    def name(self) -> str:
        """Its URL."""

    async def push(self, claims: Sequence[SignedClaim]) -> None:
        """Returns once it has stored them."""

    async def load_claims(self, payee: Address) -> Sequence[TowerClaim]:
        """The newest claim of each lane and generation it holds."""


class TowerBook(Protocol):
    """What a watchtower remembers."""

    async def keep(self, claims: Sequence[SignedClaim]) -> int:
        """Durably, one a lane and generation: the one with the highest `seq`. How many were news."""

    async def load(self, payee: Address) -> Sequence[SignedClaim]:
        """Everything held for a payee."""

    async def load_held(self) -> Sequence[HeldClaim]:
        """Everything held, beside what the chain says now."""


__all__ = [
    "Chain",
    "ChainBook",
    "Clock",
    "Engine",
    "Exchange",
    "HighWaterMark",
    "Ledger",
    "LedgerPages",
    "Offers",
    "Outbox",
    "RecoveryBook",
    "SettlementBook",
    "Signer",
    "Stored",
    "TokenCount",
    "TokenCounter",
    "Tower",
    "TowerBook",
    "TowerClaim",
]
