"""Rule 5: what a payer checks before it believes a receipt. Pure; the operator's signature has been recovered already.

A receipt that fails is evidence: the caller keeps it, stops paying that payee and tells its owner. The billing count is
the payer's own recount of the bytes it got, never the payee's word (threat L1).
"""

from dataclasses import dataclass

from node.client.wallet import Purchase
from node.core.answers import is_named_by
from node.core.billing import BILLING
from node.core.messages import Answer, Receipt, Terms
from node.core.pricing import charge_of
from node.core.types import Address, Amount, Bytes32, Status, TokenCount

TOKENS_UNDERWAY = 256
"""After a hang-up of ours the payee bills what it had received: this many tokens may have been on the way to us."""
SEQ_LIMIT = 1 << 63
"""Microseconds: no clock gets there, and databases end there."""
_KNOWN_STATUS = frozenset(rule.status for rule in BILLING.values())


class Problem(Exception):
    """A receipt or settlement that proves a fault of the payee. `code` names it in findings and docs/client.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Delivered:
    """What reached the payer of one answer, by its own count.

    `is_whole`: every byte up to the terminal event came, so the hashes must match. `hung_up`: we left first.
    `is_empty`: not one text came, which the billing table charges with nothing.
    """

    completion_tokens: int = 0
    response_hash: Bytes32 | None = None
    is_whole: bool = False
    hung_up: bool = False
    is_empty: bool = False


NOTHING = Delivered()


def check_receipt(receipt: Receipt, signer: Address, operator: Address, purchase: Purchase) -> None:
    """The receipt is the operator's, for this request, at the agreed price. Raises Problem."""
    if signer != operator:
        raise Problem("wrong_signer", "the receipt is not signed by the operator key that the escrow names")
    _check_identity(receipt, purchase)
    _check_price(receipt, purchase)


def _check_identity(receipt: Receipt, purchase: Purchase) -> None:
    terms = purchase.terms
    if receipt.key != purchase.key or receipt.request_id != terms.request_id:
        raise Problem("wrong_request", "the receipt is for another lane, generation or request")
    if receipt.context != terms.struct_hash():
        raise Problem("wrong_terms", "the receipt names other terms than those signed")
    if receipt.request_hash != terms.request_hash:
        raise Problem("wrong_request_hash", "the receipt is for another body than the one sent")
    if receipt.seq >= SEQ_LIMIT:
        raise Problem("wrong_seq", "the receipt's seq is no time that a claim could carry")
    if receipt.status not in _KNOWN_STATUS:
        raise Problem("wrong_status", f"a receipt has no status {receipt.status}")


def _check_price(receipt: Receipt, purchase: Purchase) -> None:
    terms = purchase.terms
    tokens = TokenCount(receipt.prompt_tokens, receipt.completion_tokens)
    priced = charge_of(tokens, terms.price_prompt, terms.price_completion)
    if receipt.charge > terms.max_price:
        raise Problem("overcharge", f"charged {receipt.charge}, signed for at most {terms.max_price}")
    if receipt.charge > priced:
        raise Problem("wrong_price", f"charged {receipt.charge} where the agreed prices give {priced}")
    if receipt.status == Status.FAILED and receipt.charge:
        raise Problem("charged_failure", f"charged {receipt.charge} for a request that the receipt calls failed")
    if receipt.cumulative < receipt.charge:
        raise Problem("wrong_arithmetic", "the running total is below this receipt's own charge")


def check_answer(shown: Answer, signer: Address, case: tuple[Receipt, Terms, Address]) -> None:
    """The executor's word is the one that its receipt names, by the same operator key. Raises Problem."""
    receipt, terms, operator = case
    if signer != operator:
        raise Problem("wrong_answer_signer", "the executor's answer is not signed by its operator key")
    if not is_named_by(shown, receipt, terms):
        raise Problem("wrong_answer", "the executor's answer is not the one that its receipt names")


def check_delivery(receipt: Receipt, purchase: Purchase, delivered: Delivered) -> Amount:
    """Recount. Returns the part of the charge that what we hold confirms; raises Problem for a provable lie.

    A whole answer must match to the token and the hash. Of an answer that was cut, the rest stays unverified: it counts
    against the exposure for good, so a payee that cuts its streams can never take more than E in all. A `failed`
    receipt charges nothing and speaks of no answer: a node that was taken for dead closes what it serves with one.
    """
    if receipt.prompt_tokens > purchase.prompt_tokens:
        raise Problem("inflated_prompt", f"{receipt.prompt_tokens} prompt tokens, recounted {purchase.prompt_tokens}")
    if delivered.is_whole and receipt.status != Status.FAILED:
        _check_whole(receipt, delivered)
        return receipt.charge
    return _confirmed(receipt, purchase, delivered)


def _check_whole(receipt: Receipt, delivered: Delivered) -> None:
    if receipt.completion_tokens > delivered.completion_tokens:
        counts = f"{receipt.completion_tokens} completion tokens, recounted {delivered.completion_tokens}"
        raise Problem("inflated_completion", counts)
    if receipt.response_hash != delivered.response_hash:
        raise Problem("wrong_response_hash", "the receipt is for another answer than the one that came")
    if receipt.charge and delivered.is_empty:
        raise Problem("charged_nothing", f"charged {receipt.charge} for an answer without a text")


def _confirmed(receipt: Receipt, purchase: Purchase, delivered: Delivered) -> Amount:
    tokens = proven_tokens(receipt, delivered)
    priced = charge_of(tokens, purchase.terms.price_prompt, purchase.terms.price_completion)
    return Amount(min(receipt.charge, priced))


def proven_tokens(receipt: Receipt, delivered: Delivered) -> TokenCount:
    """What of a receipt for an answer that did not come whole is believed."""
    seen = delivered.completion_tokens
    if not receipt.charge or not (seen or delivered.hung_up):
        return TokenCount(0, 0)
    allowed = seen + TOKENS_UNDERWAY if delivered.hung_up else seen
    return TokenCount(receipt.prompt_tokens, min(receipt.completion_tokens, allowed))


def check_neighbours(receipt: Receipt, before: Receipt | None, after: Receipt | None) -> None:
    """Running totals of one lane and generation rise with `seq` by at least each charge (INV12). Raises Problem."""
    if before is not None and receipt.cumulative - receipt.charge < before.cumulative:
        raise Problem("wrong_arithmetic", "the running total fits not after the receipt before it")
    if after is not None and after.cumulative - after.charge < receipt.cumulative:
        raise Problem("wrong_arithmetic", "the running total fits not before the receipt after it")
