"""Whether a voucher may buy service here: a straight list of refusals, each with what the caller needs next.

The signature has been recovered already (the recovered address *is* the lane); totals are `account.admit`'s business.
"""

from dataclasses import dataclass
from functools import lru_cache

from node.core.errors import (
    CoverTooLow,
    NotOffered,
    StaleGeneration,
    StaleTerms,
    UnknownModel,
    WrongPayee,
    WrongSignature,
    WrongTerms,
)
from node.core.hashing import keccak
from node.core.messages import ModelOffer, Offer, Terms, Voucher
from node.core.types import ZERO_ADDRESS, Address, Amount, Bytes32, Seconds

START_BY_SKEW = Seconds(30)
"""Clocks of payer and payee may differ by this much (protocol rule 2)."""
START_BY_HORIZON = Seconds(3600)
"""Terms further ahead would hold an in-flight entry of the payer's for hours."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the chain says about the payee and the signer, bad news at once, good news when finalised."""

    payee: Address
    generation: int
    signer_payer: Address
    """The payer a further signer is bound to; the signer itself for a payer's own key; zero when unknown or thawing."""
    cover: Amount


def check_voucher(voucher: Voucher, signer: Address, standing: Standing) -> None:
    """Signature, payee and generation. Raises WrongPayee, WrongSignature or StaleGeneration."""
    if voucher.payee != standing.payee:
        raise WrongPayee("this voucher pays another address", pay_to="0x" + standing.payee.hex())
    if standing.signer_payer in (ZERO_ADDRESS, b"") or standing.signer_payer != voucher.payer:
        raise WrongSignature(
            "the signature does not recover to a live signer of this payer (check chain id, escrow and key)",
            recovered="0x" + signer.hex(),
        )
    if voucher.generation != standing.generation:
        raise StaleGeneration("the payee's generation has changed: sign anew", generation=standing.generation)


def check_terms(terms: Terms, voucher: Voucher, offer: Offer, now: Seconds) -> ModelOffer:
    """The terms are the signed ones, in time, and equal this node's offer. Returns the model they buy."""
    if terms.struct_hash() != voucher.context:
        raise WrongTerms("the terms are not those the voucher signs (context)")
    if terms.start_by < now - START_BY_SKEW:
        raise StaleTerms("startBy has passed", start_by=terms.start_by, now=now)
    if terms.start_by > now + START_BY_HORIZON:
        raise StaleTerms("startBy is too far ahead", start_by=terms.start_by, latest=now + START_BY_HORIZON)
    offer_hash, models = _index_of(offer)
    if terms.offer_hash != offer_hash:
        raise WrongTerms("these terms quote another offer", offer="0x" + offer_hash.hex())
    model = models.get(terms.model)
    if model is None:
        raise UnknownModel("this offer has no such model")
    agreed = (model.tokenizer, model.template, model.price_prompt, model.price_completion)
    if agreed != (terms.tokenizer, terms.template, terms.price_prompt, terms.price_completion):
        raise WrongTerms("prices, tokenizer or template differ from the offer")
    return model


@lru_cache(maxsize=64)
def _index_of(offer: Offer) -> tuple[Bytes32, dict[Bytes32, ModelOffer]]:
    """An offer's hash and its models by id, remembered: a node sells thousands of answers under one offer."""
    return offer.struct_hash(), {model.model: model for model in reversed(offer.models)}


def check_body(terms: Terms, salt: Bytes32, body: bytes, model_name: str, model: ModelOffer) -> None:
    """The voucher was signed for exactly these bytes and this model."""
    if model_name != model.name:
        raise WrongTerms("the body asks for another model than the terms", model=model.name)
    if keccak(salt + body) != terms.request_hash:
        raise WrongTerms("requestHash is not keccak(salt || body)")


def check_minimum_budget(cover: Amount, minimum: Amount) -> None:
    """A lane that could never be settled at a profit is refused before any work (rule 8)."""
    if cover < minimum:
        raise CoverTooLow("the allotment is below the offer's minimum budget", minimum_budget=minimum, cover=cover)


def check_mode(terms: Terms) -> None:
    """Only ordinary requests are sold here yet."""
    if terms.mode != 0:
        raise NotOffered("only mode 0 (normal) is served", mode=terms.mode)
