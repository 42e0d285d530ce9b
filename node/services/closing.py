"""Steps 6 and 7: what a served request costs, made durable, then signed. Runs to its end whoever hangs up.

Also closes what crashed workers left open, with zero-charge receipts: at the start, and whenever the lease is renewed.
"""

import asyncio
import logging

from node.core.account import Admission, Outcome
from node.core.billing import BILLING, Ending, Prices, settle_outcome
from node.core.choices import response_hash
from node.core.errors import Broken, EngineFailed, KeyNotHere, LedgerUnavailable
from node.core.messages import Receipt
from node.core.types import Micros, TokenCount
from node.services.answers import AnswerSigner
from node.services.parts import Parts
from node.services.quoting import Quote, count_texts, counter_of
from node.services.relay import Relay
from node.services.signing import sign_as
from node.services.x402 import SignedReceipt

RETRY_SECONDS = (0.05, 0.2, 1.0, 3.0)
"""A charge that cannot be written at once is tried again; the answer's end waits for it."""
log = logging.getLogger(__name__)


class Closer:
    """Turns endings into signed receipts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._answers = AnswerSigner(parts.signer, parts.market.domain, parts.chain.operator_of)
        self._unclosed: list[tuple[Admission, Outcome]] = []

    async def close(self, admission: Admission, quote: Quote, relay: Relay | None) -> SignedReceipt:
        """Charge by the billing table, durably, then sign. Raises LedgerUnavailable when it cannot be written."""
        outcome = await self._outcome(admission, quote, relay)
        receipt = await self._write(admission, outcome)
        self._parts.observer.closed(outcome, max(0.0, self._parts.clock.now() - admission.received_at))
        return await self.sign(receipt, admission)

    async def sign(self, receipt: Receipt, admission: Admission) -> SignedReceipt:
        """Deterministic, so it can be made again after a crash; kept with the next group of writes.

        Raises KeyNotHere for a generation of another operator key: the receipt is durable, and that key may sign it.
        """
        parts, generation = self._parts, receipt.generation
        digest = parts.market.domain.digest(receipt.struct_hash())
        signature = sign_as(parts.signer, parts.chain.operator_of(generation), generation, digest)
        try:
            await self._parts.ledger.keep_signature(receipt, signature)
        except LedgerUnavailable:
            log.warning("a receipt's signature was not kept; it is made again when asked for")
        return SignedReceipt(receipt, signature, self._answers.signed(admission, receipt))

    async def close_abandoned(self) -> int:
        """Zero-charge `failed` receipts for requests whose worker's lease has expired (rule 4); how many."""
        abandoned = await self._parts.ledger.load_abandoned()
        for admission in abandoned:
            try:
                receipt = await self._parts.ledger.close(admission, _nothing_delivered(admission), self._now())
            except Broken:  # one lane that does not add up must not keep the others' reservations
                log.exception("request %s cannot be closed", admission.request_id.hex())
                continue
            await self._sign_late(receipt, admission)
        return len(abandoned)

    async def _sign_late(self, receipt: Receipt, admission: Admission) -> None:
        """Nobody waits for this one: without its key it stays unsigned until it is asked for where the key is."""
        try:
            await self.sign(receipt, admission)
        except KeyNotHere as exc:
            log.warning("the receipt of request %s is not signed: %s", receipt.request_id.hex(), exc.message)

    async def retry_unclosed(self) -> int:
        """Write the charges that could not be written before, each once; how many are still waiting.

        A charge leaves the list only after its own attempt: whatever stops this run must not lose the others.
        """
        for _ in range(len(self._unclosed)):
            admission, outcome = self._unclosed[0]
            is_waiting = not await self._is_settled(admission, outcome)
            del self._unclosed[0]
            if is_waiting:
                self._unclosed.append((admission, outcome))
        return len(self._unclosed)

    async def _is_settled(self, admission: Admission, outcome: Outcome) -> bool:
        """Whether nothing more can be done about this charge: written, or no longer ours to write."""
        try:
            self._parts.lease.check(admission.lease)
            await self._sign_late(await self._parts.ledger.close(admission, outcome, self._now()), admission)
        except LedgerUnavailable:
            return admission.lease != self._parts.lease.epoch
        except Broken:
            log.exception("the charge of request %s cannot be written", admission.request_id.hex())
        return True

    async def _write(self, admission: Admission, outcome: Outcome) -> Receipt:
        for delay in (*RETRY_SECONDS, None):
            try:
                self._parts.lease.check(admission.lease)
                return await self._parts.ledger.close(admission, outcome, self._now())
            except LedgerUnavailable:
                if delay is None or admission.lease != self._parts.lease.epoch:
                    break
                await asyncio.sleep(delay)
        self._unclosed.append((admission, outcome))
        raise LedgerUnavailable("the charge of this request could not be written yet")

    async def _outcome(self, admission: Admission, quote: Quote, relay: Relay | None) -> Outcome:
        if relay is None:
            return _nothing_delivered(admission)
        ending = relay.ending()
        try:
            choices = relay.answer.choices()
        except EngineFailed:
            return _nothing_delivered(admission)
        delivered = await self._delivered(quote, relay)
        if (owed := await relay.owed()) is not None and owed.prompt:
            ending, delivered = Ending.HUNG_UP, _passed_on(delivered, owed, quote)
        answered = response_hash(admission.salt, choices)
        named = self._answers.hash_for(admission, BILLING[ending].status, answered)
        return settle_outcome(ending, delivered, _prices(admission), answered, named)

    async def _delivered(self, quote: Quote, relay: Relay) -> TokenCount:
        """Our own recount, never above our engine's usage nor what was asked of it (threat L1).

        A peer is paid by the recount, so its client pays by it too: usage of the peer's making would have us pay alone.
        """
        counter = counter_of(self._parts.counters, quote.model)
        counted = await count_texts(counter, relay.answer.texts())
        bounds = [counted, quote.completion_limit]
        if relay.is_peer:
            return TokenCount(quote.prompt_tokens, min(bounds))
        if (reported := relay.answer.usage("completion_tokens")) is not None:
            bounds.append(reported)
        prompts = [quote.prompt_tokens]
        if (reported := relay.answer.usage("prompt_tokens")) is not None:
            prompts.append(reported)
        return TokenCount(min(prompts), min(bounds))

    def _now(self) -> Micros:
        """Never ahead of the chain's clock: a receipt dated ahead could be claimed only when its time has come."""
        return Micros(int(min(self._parts.clock.now(), self._parts.chain.chain_now) * 1_000_000))


def _nothing_delivered(admission: Admission) -> Outcome:
    no_choices = response_hash(admission.salt, ())
    return settle_outcome(Ending.FAILED_EARLY, TokenCount(0, 0), _prices(admission), no_choices)


def _passed_on(delivered: TokenCount, owed: TokenCount, quote: Quote) -> TokenCount:
    """What a caller that left pays for an answer bought for it: what its executor proves (threat P19)."""
    completion = min(max(delivered.completion, owed.completion), quote.completion_limit)
    return TokenCount(min(delivered.prompt, owed.prompt), completion)


def _prices(admission: Admission) -> Prices:
    terms = admission.terms
    return Prices(terms.price_prompt, terms.price_completion, terms.max_price)
