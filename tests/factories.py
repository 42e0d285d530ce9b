"""Messages with sane defaults, so that a test says only what it is about."""

from dataclasses import replace

from coincurve import PrivateKey

from node.core.account import Admission, LaneState, PairState
from node.core.hashing import Domain, keccak
from node.core.messages import ModelOffer, Offer, Receipt, Terms, Voucher
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature

NOW = Seconds(1_800_000_000)
PAYEE = Address(b"\xbb" * 20)
ESCROW = Address(b"\xee" * 20)
DOMAIN = Domain.of(31337, ESCROW)
KEY = PrivateKey(b"\x01" * 32)


def address_of_key(key: PrivateKey) -> Address:
    return Address(keccak(key.public_key.format(compressed=False)[1:])[12:])


PAYER = address_of_key(KEY)
LANE = LaneKey(PAYER, PAYEE, PAYER, 0)


def sign(key: PrivateKey, digest: bytes) -> Signature:
    raw = key.sign_recoverable(digest, hasher=None)
    return Signature(raw[:64] + bytes([27 + raw[64]]))


def make_model(**changes: object) -> ModelOffer:
    model = ModelOffer("smollm2-135m", keccak(b"tok"), keccak(b"tpl"), Amount(100_000), Amount(300_000), 2048, 512)
    return replace(model, **changes)


def make_offer(**changes: object) -> Offer:
    offer = Offer(PAYEE, 1, (make_model(),), Amount(0), NOW, Seconds(NOW + 86_400))
    return replace(offer, **changes)


def make_terms(**changes: object) -> Terms:
    offer = make_offer()
    model = offer.models[0]
    terms = Terms(
        request_id=keccak(b"request-1"),
        request_hash=keccak(ZERO32 + b"{}"),
        offer_hash=offer.struct_hash(),
        model=model.model,
        tokenizer=model.tokenizer,
        template=model.template,
        price_prompt=model.price_prompt,
        price_completion=model.price_completion,
        max_price=Amount(100),
        start_by=Seconds(NOW + 60),
        mode=0,
        flags=0,
        hops=0,
        origin_hash=ZERO32,
    )
    return replace(terms, **changes)


def make_voucher(terms: Terms | None = None, **changes: object) -> Voucher:
    voucher = Voucher(PAYER, PAYEE, 0, Amount(1_000), (terms or make_terms()).struct_hash())
    return replace(voucher, **changes)


def make_admission(ceiling: int = 1_000, key: LaneKey = LANE, **terms_changes: object) -> Admission:
    terms = make_terms(**terms_changes)
    voucher = make_voucher(terms, ceiling=Amount(ceiling), payer=key.payer, generation=key.generation)
    return Admission(
        key=key,
        voucher=voucher,
        signature=sign(KEY, DOMAIN.digest(voucher.struct_hash())),
        terms=terms,
        salt=ZERO32,
        received_at=NOW,
        lease=1,
    )


def make_lane(**changes: object) -> LaneState:
    return replace(LaneState(LANE), **changes)


def make_pair(cover: int = 1_000, committed: int = 0) -> PairState:
    return PairState(PAYER, PAYEE, Amount(cover), Amount(committed))


def make_receipt(**changes: object) -> Receipt:
    terms = make_terms()
    receipt = Receipt(
        payer=PAYER,
        payee=PAYEE,
        lane=PAYER,
        generation=0,
        seq=Micros(NOW * 1_000_000),
        request_id=terms.request_id,
        context=terms.struct_hash(),
        request_hash=terms.request_hash,
        response_hash=keccak(b"answer"),
        answer_hash=ZERO32,
        prompt_tokens=10,
        completion_tokens=20,
        status=1,
        charge=Amount(7),
        cumulative=Amount(7),
    )
    return replace(receipt, **changes)


def request_id(number: int) -> Bytes32:
    return keccak(b"request-%d" % number)
