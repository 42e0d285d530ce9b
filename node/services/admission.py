"""From a payment header to a durable reservation: every refusal before the engine hears of a request.

Order: what is cheap and needs no body first (signature, standing, terms), so that a bogus voucher costs one signature
recovery and no more (threat P15). An id that is already in the books is answered from them, even when its terms are
stale by now (rule 9): a retry must find its receipt.
"""

from node.core.account import Admission
from node.core.errors import AlreadyServed, InProgress, Refused, StaleGeneration, StaleTerms, TermsConflict, WrongTerms
from node.core.messages import ModelOffer, Offer, Receipt, Terms
from node.core.pricing import completion_room
from node.core.records import record
from node.core.types import LaneKey, Seconds, Signature
from node.core.voucher import check_minimum_budget, check_mode, check_terms, check_voucher
from node.ports.ledger import Stored
from node.services.answers import AnswerSigner
from node.services.parts import Parts
from node.services.quoting import Quote
from node.services.signing import check_key, sign_as
from node.services.x402 import Payment, SignedReceipt


class Replayed(Exception):
    """A known id: the refusal to answer with, and its receipt when it is done."""

    def __init__(self, error: Refused, receipt: SignedReceipt | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.receipt = receipt


@record
class Checked:
    """A payment that may buy here, its lane and the model it buys."""

    payment: Payment
    key: LaneKey
    model: ModelOffer


class Door:
    """Checks payments against chain, offer and books."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answers = AnswerSigner(parts.signer, parts.market.domain, parts.chain.operator_of)

    async def check_payment(self, payment: Payment) -> Checked:
        """Signature, standing, terms. Raises a refusal, or Replayed for an id that the books know."""
        voucher, terms = payment.voucher, payment.terms
        lane = self._parts.recover(self._parts.market.domain.digest(voucher.struct_hash()), payment.signature)
        standing = await self._parts.chain.standing(voucher.payer, lane)
        key = LaneKey(voucher.payer, voucher.payee, lane, voucher.generation)
        offer = self.offer_of(terms)
        try:
            check_voucher(voucher, lane, standing)
            check_mode(terms)
            model = check_terms(terms, voucher, offer, Seconds(int(self._parts.clock.now())))
        except (StaleTerms, WrongTerms, StaleGeneration):
            await self._raise_if_known(key, payment)
            raise
        check_key(self._parts.signer, self._parts.chain.operator_of(key.generation), key.generation)
        check_minimum_budget(standing.cover, offer.minimum_budget)
        return Checked(payment, key, model)

    def offer_of(self, terms: Terms) -> Offer:
        """The offer the terms name while it is valid and quoted in time, else the present one."""
        offer = self._parts.offers.quoted(terms.offer_hash, terms.start_by)
        return self._parts.offers.current() if offer.valid_until < self._parts.clock.now() else offer

    async def reserve(self, checked: Checked, quote: Quote) -> Admission:
        """Price, then the durable reservation. Raises a refusal or Replayed."""
        terms = checked.payment.terms
        completion_room(terms.max_price, quote.prompt_tokens, terms.price_prompt, terms.price_completion)
        admission = Admission(
            key=checked.key,
            voucher=checked.payment.voucher,
            signature=checked.payment.signature,
            terms=terms,
            salt=checked.payment.salt,
            received_at=Seconds(int(max(self._parts.clock.now(), self._parts.chain.chain_now))),
            lease=self._parts.lease.epoch,
        )
        stored = await self._parts.ledger.admit(admission)
        if stored is not None:
            raise self._replayed(stored, checked.payment)
        return admission

    async def _raise_if_known(self, key: LaneKey, payment: Payment) -> None:
        stored = await self._parts.ledger.load_request(key.payer, key.lane, payment.terms.request_id)
        if stored is not None:
            raise self._replayed(stored, payment)

    def _sign_again(self, receipt: Receipt) -> Signature:
        parts, generation = self._parts, receipt.generation
        digest = parts.market.domain.digest(receipt.struct_hash())
        return sign_as(parts.signer, parts.chain.operator_of(generation), generation, digest)

    def _replayed(self, stored: Stored, payment: Payment) -> Replayed:
        """Rule 9: the same terms only (the ceiling may have risen), never a second charge."""
        if stored.admission.terms != payment.terms:
            return Replayed(TermsConflict("this request id came before with other terms"), None)
        if stored.receipt is None:
            return Replayed(InProgress("this request is being served now", retry_after=1), None)
        signature = stored.signature or self._sign_again(stored.receipt)
        error = AlreadyServed("this request was served and charged; its receipt is here", charge=stored.receipt.charge)
        answer = self._answers.signed(stored.admission, stored.receipt)
        return Replayed(error, SignedReceipt(stored.receipt, signature, answer))
