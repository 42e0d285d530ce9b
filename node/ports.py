"""What the services need of the world, as few methods as possible. No logic here; fakes live in tests/fakes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.messages import Offer, Receipt
from node.core.types import Address, Bytes32, LaneKey, Micros, Seconds, Signature, TokenCount


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
        """Store an operator signature for serving and settling; it can always be made again."""

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        """One request by its id."""

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        """The lane's totals."""

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        """The pair's totals."""

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        """Receipts of a lane and generation with seq > `after`, in order."""

    async def load_abandoned(self) -> Sequence[Admission]:
        """Open requests whose worker's lease has expired."""

    async def take_lease(self, seconds: Seconds) -> int:
        """A new lease epoch for this worker; admissions carry it."""

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        """False when the lease had expired: abort all streams and sign nothing more."""


@dataclass(frozen=True, slots=True)
class EngineReply:
    """An engine's answer once its first bytes are in: `chunks` yields raw body bytes, unparsed."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Engine(Protocol):
    """An OpenAI-compatible inference server."""

    async def send(self, path: str, body: bytes) -> EngineReply:
        """POST and return when the headers are in. Raises EngineFailed. Closing `chunks` early cancels upstream."""

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


__all__ = [
    "Clock",
    "Engine",
    "EngineReply",
    "Ledger",
    "Offers",
    "Signer",
    "Stored",
    "TokenCount",
    "TokenCounter",
]
