"""The signed messages of the protocol as frozen structs with their EIP-712 hash. They check no rule: see voucher.

Every type string stands once, here; `tests/vectors/eip712.json` is read by pytest and forge, so the contracts agree.
"""

from dataclasses import dataclass

from node.core.hashing import address_word, keccak, word
from node.core.records import record
from node.core.types import Address, Amount, Bytes32, LaneKey, Micros, Seconds

TERMS_TYPE = (
    b"Terms(bytes32 requestId,bytes32 requestHash,bytes32 offerHash,bytes32 model,bytes32 tokenizer,bytes32 template,"
    b"uint128 pricePrompt,uint128 priceCompletion,uint128 maxPrice,uint64 startBy,uint8 mode,uint32 flags,uint8 hops,"
    b"bytes32 originHash)"
)
VOUCHER_TYPE = b"Voucher(address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context)"
RECEIPT_TYPE = (
    b"Receipt(address payer,address payee,address lane,uint32 generation,uint64 seq,bytes32 requestId,bytes32 context,"
    b"bytes32 requestHash,bytes32 responseHash,bytes32 answerHash,uint32 promptTokens,uint32 completionTokens,"
    b"uint8 status,uint128 charge,uint128 cumulative)"
)
CLAIM_TYPE = (
    b"Claim(address payer,address payee,address lane,uint32 generation,uint64 seq,uint128 cumulative,"
    b"bytes32 receiptsRoot,uint32 count)"
)
SIGNER_CONSENT_TYPE = b"SignerConsent(address payer,uint128 cap,uint64 deadline)"
ANSWER_TYPE = (
    b"Answer(address payer,address lane,uint32 generation,bytes32 requestId,bytes32 requestHash,bytes32 responseHash,"
    b"bytes32 model,address executor,bytes32 nonceCommit)"
)
MODEL_OFFER_TYPE = (
    b"ModelOffer(string name,bytes32 tokenizer,bytes32 template,uint128 pricePrompt,uint128 priceCompletion,"
    b"uint32 contextLength,uint32 maxCompletion)"
)
OFFER_TYPE = (
    b"Offer(address payee,uint64 number,ModelOffer[] models,uint128 minimumBudget,uint64 validFrom,uint64 validUntil)"
) + MODEL_OFFER_TYPE

TERMS_TYPE_HASH = keccak(TERMS_TYPE)
VOUCHER_TYPE_HASH = keccak(VOUCHER_TYPE)
RECEIPT_TYPE_HASH = keccak(RECEIPT_TYPE)
CLAIM_TYPE_HASH = keccak(CLAIM_TYPE)
SIGNER_CONSENT_TYPE_HASH = keccak(SIGNER_CONSENT_TYPE)
ANSWER_TYPE_HASH = keccak(ANSWER_TYPE)
MODEL_OFFER_TYPE_HASH = keccak(MODEL_OFFER_TYPE)
OFFER_TYPE_HASH = keccak(OFFER_TYPE)


@record
class Terms:
    """What one request may cost and how it may be served; hashed into the voucher's `context`, sent beside it."""

    request_id: Bytes32
    request_hash: Bytes32
    offer_hash: Bytes32
    model: Bytes32
    tokenizer: Bytes32
    template: Bytes32
    price_prompt: Amount
    price_completion: Amount
    max_price: Amount
    start_by: Seconds
    mode: int
    flags: int
    hops: int
    origin_hash: Bytes32

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Terms)`: the voucher's context."""
        return keccak(
            TERMS_TYPE_HASH
            + self.request_id
            + self.request_hash
            + self.offer_hash
            + self.model
            + self.tokenizer
            + self.template
            + word(self.price_prompt)
            + word(self.price_completion)
            + word(self.max_price)
            + word(self.start_by)
            + word(self.mode)
            + word(self.flags)
            + word(self.hops)
            + self.origin_hash,
        )


@record
class Voucher:
    """A lane signer's cumulative ceiling towards one payee, bound to one request by `context`."""

    payer: Address
    payee: Address
    generation: int
    ceiling: Amount
    context: Bytes32

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Voucher)`."""
        return keccak(
            VOUCHER_TYPE_HASH
            + address_word(self.payer)
            + address_word(self.payee)
            + word(self.generation)
            + word(self.ceiling)
            + self.context,
        )


@record
class Receipt:
    """The payee's account of one answer, with the lane's running total (`cumulative`, base units)."""

    payer: Address
    payee: Address
    lane: Address
    generation: int
    seq: Micros
    request_id: Bytes32
    context: Bytes32
    request_hash: Bytes32
    response_hash: Bytes32
    answer_hash: Bytes32
    prompt_tokens: int
    completion_tokens: int
    status: int
    charge: Amount
    cumulative: Amount

    @property
    def key(self) -> LaneKey:
        """The lane and generation this receipt belongs to."""
        return LaneKey(self.payer, self.payee, self.lane, self.generation)

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Receipt)`: what the operator signs (inside the domain) and the leaf of the receipts tree."""
        return keccak(
            RECEIPT_TYPE_HASH
            + address_word(self.payer)
            + address_word(self.payee)
            + address_word(self.lane)
            + word(self.generation)
            + word(self.seq)
            + self.request_id
            + self.context
            + self.request_hash
            + self.response_hash
            + self.answer_hash
            + word(self.prompt_tokens)
            + word(self.completion_tokens)
            + word(self.status)
            + word(self.charge)
            + word(self.cumulative),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """The payee's wish to settle a lane up to `cumulative`; commits all receipts so far by their Merkle root."""

    payer: Address
    payee: Address
    lane: Address
    generation: int
    seq: Micros
    cumulative: Amount
    receipts_root: Bytes32
    count: int

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Claim)`."""
        return keccak(
            CLAIM_TYPE_HASH
            + address_word(self.payer)
            + address_word(self.payee)
            + address_word(self.lane)
            + word(self.generation)
            + word(self.seq)
            + word(self.cumulative)
            + self.receipts_root
            + word(self.count),
        )


@dataclass(frozen=True, slots=True)
class SignerConsent:
    """A further lane signer's agreement to sign for one payer, for ever (threat P12)."""

    payer: Address
    cap: Amount
    deadline: Seconds

    def struct_hash(self) -> Bytes32:
        """`hashStruct(SignerConsent)`."""
        return keccak(SIGNER_CONSENT_TYPE_HASH + address_word(self.payer) + word(self.cap) + word(self.deadline))


@dataclass(frozen=True, slots=True)
class Answer:
    """The executor's signed word on one answer, kept as evidence for duels."""

    payer: Address
    lane: Address
    generation: int
    request_id: Bytes32
    request_hash: Bytes32
    response_hash: Bytes32
    model: Bytes32
    executor: Address
    nonce_commit: Bytes32

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Answer)`."""
        return keccak(
            ANSWER_TYPE_HASH
            + address_word(self.payer)
            + address_word(self.lane)
            + word(self.generation)
            + self.request_id
            + self.request_hash
            + self.response_hash
            + self.model
            + address_word(self.executor)
            + self.nonce_commit,
        )


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """One model of an offer: prices in base units per million tokens, lengths in tokens."""

    name: str
    tokenizer: Bytes32
    template: Bytes32
    price_prompt: Amount
    price_completion: Amount
    context_length: int
    max_completion: int

    @property
    def model(self) -> Bytes32:
        """The model's id in Terms: keccak of its name."""
        return keccak(self.name.encode())

    def struct_hash(self) -> Bytes32:
        """`hashStruct(ModelOffer)`."""
        return keccak(
            MODEL_OFFER_TYPE_HASH
            + keccak(self.name.encode())
            + self.tokenizer
            + self.template
            + word(self.price_prompt)
            + word(self.price_completion)
            + word(self.context_length)
            + word(self.max_completion),
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider sells; its hash stands in the registry, its document at `GET /v1/offers/{hash}`."""

    payee: Address
    number: int
    models: tuple[ModelOffer, ...]
    minimum_budget: Amount
    valid_from: Seconds
    valid_until: Seconds

    def __hash__(self) -> int:
        """Few members are enough to tell offers apart in a dictionary, and each sale looks its offer up."""
        return hash((self.payee, self.number, self.valid_from))

    def struct_hash(self) -> Bytes32:
        """`hashStruct(Offer)`: the registry's offer hash."""
        models = keccak(b"".join(model.struct_hash() for model in self.models))
        return keccak(
            OFFER_TYPE_HASH
            + address_word(self.payee)
            + word(self.number)
            + models
            + word(self.minimum_budget)
            + word(self.valid_from)
            + word(self.valid_until),
        )

    def model_named(self, name: str) -> ModelOffer | None:
        """The offered model of that name, or None."""
        return next((model for model in self.models if model.name == name), None)
