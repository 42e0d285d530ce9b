"""Receiving an answer: events passed on as they come, except [DONE], which waits until the receipt has been checked.

An answer is complete only with its terminal event *and* a receipt that fits it, byte and token (threat H6).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from node.client.books import Books
from node.client.effects import Compute, Emit, Flow, InWallet, NoReply, Read, Reply
from node.client.lookups import fetch_receipt
from node.client.trade import Case, Trade, now_of
from node.client.verify import Delivered, Problem, check_answer, check_delivery, check_receipt
from node.client.wallet import Purse
from node.client.x402 import RECEIPT_COMMENT, SignedReceipt, parse_encoded_receipt, receipt_of
from node.core.answers import SignedAnswer, is_due
from node.core.assembly import Assembler, SseEvent, SseParser, billable_texts, choices_of_body
from node.core.choices import Choice, response_hash
from node.core.errors import BadRequest, BadVoucher, Unavailable, WrongSignature
from node.core.types import ZERO32, Amount, Status
from node.core.wire import hex_of

DONE_EVENT = b"data: [DONE]\n\n"
MAX_ANSWER_BYTES = 64 << 20
"""As much as a node sends; a stream without end is an attack on memory (threat H7)."""


class PayeeCheated(Unavailable):
    """The provider's receipt does not fit its answer; the evidence is kept and nothing more is signed to it."""

    retryable = False


class AnswerCut(Unavailable):
    """The answer ended before its end. What came is incomplete, whatever it looks like."""

    retryable = False


class Meter:
    """Reads a stream's bytes once: what to pass on, the choices so far, the receipt, the end.

    `is_resold`: a node sells it on. A node bills what comes before the answer's end (usage, error), so a text after it
    is refused: it would be paid for and sold to nobody (threat L1). Its client hears no error in a peer's words, and a
    comment is no beginning of an answer: it would hold up the next candidate (threat H12).
    """

    def __init__(self, *, is_resold: bool = False) -> None:
        self._is_resold = is_resold
        self._parser = SseParser()
        self._size = 0
        self.assembler = Assembler()
        self.receipt: SignedReceipt | None = None
        self.usage = b""
        """The usage event, which waits for the end: it is no beginning of an answer."""
        self.problem: BadRequest | BadVoucher | None = None
        """Why this stream is no answer from here on."""
        self.has_error = False
        self.is_done = False

    @property
    def is_failed(self) -> bool:
        """Whether an error came that is not passed on: whoever buys to sell must say so itself."""
        return self._is_resold and self.has_error

    def feed(self, raw: bytes) -> bytes:
        """The bytes to pass on now: what has been counted so far, also where a `problem` follows."""
        passed: list[bytes] = []
        try:
            for event in self._events(raw):
                if self._is_passed(event):
                    passed.append(event.raw)  # noqa: PERF401 -- what came before a problem is kept
        except (BadRequest, BadVoucher) as exc:
            self.problem = exc
        return b"".join(passed)

    def _events(self, raw: bytes) -> list[SseEvent]:
        self._size += len(raw)
        if self._size > MAX_ANSWER_BYTES:
            raise BadRequest("an answer without end", limit=MAX_ANSWER_BYTES)
        return self._parser.feed(raw)

    def _is_passed(self, event: SseEvent) -> bool:
        if event.is_done or self.is_done:
            self.is_done = True
            return False
        if event.comment is not None and event.comment.startswith(RECEIPT_COMMENT):
            self.receipt = parse_encoded_receipt(event.comment.removeprefix(RECEIPT_COMMENT))
            return False
        if event.data is None:
            return not self._is_resold
        chunk = event.chunk()
        if chunk is None:  # some reader might make a text of it, and another none: two answers with one signature
            raise BadRequest("an event of the answer is not one JSON object")
        return self._is_part(chunk, event.raw)

    def _is_part(self, chunk: Mapping[str, Any], raw: bytes) -> bool:
        """Whether it is passed on now; the usage event is kept."""
        choices = chunk.get("choices")
        is_usage = choices == [] and chunk.get("usage") is not None
        self.has_error = self.has_error or chunk.get("error") is not None
        if self._is_resold and choices and (self.usage or self.has_error):
            raise BadRequest("the answer goes on after its end")
        self.assembler.feed(chunk)
        if is_usage:
            self.usage = raw
        return not is_usage and not self.is_failed


def deal_stream(trade: Trade, meter: Meter) -> Flow[SignedReceipt]:
    """Pass the opened stream on until its end, check the receipt, then pass on [DONE].

    Raises AnswerCut (the caller looks for the receipt), PayeeCheated, or HungUp from the driver.
    """
    while not meter.is_done:
        raw: bytes | NoReply = yield Read()
        if isinstance(raw, NoReply) or not raw:
            raise AnswerCut("the provider's stream ended before its end", emitted=trade.has_emitted)
        if passed := meter.feed(raw):
            trade.has_emitted = True
            yield Emit(passed)
        if (problem := meter.problem) is not None:
            why = f"the provider's stream is malformed: {problem.message}"
            raise AnswerCut(why, emitted=trade.has_emitted) from problem
    shown = meter.receipt or (yield from find_receipt(trade))
    if shown is None:
        raise AnswerCut("the provider's stream ended without a receipt", emitted=trade.has_emitted)
    delivered = yield from count(trade, meter.assembler.choices())
    yield from take_receipt(trade, shown, replace(delivered, is_whole=True))
    status = shown.receipt.status
    is_answer = status == Status.COMPLETE or is_free(shown, meter.assembler.choices())
    if meter.is_failed or not (is_answer or meter.has_error):
        raise AnswerCut("the provider's own receipt says that the answer is not complete", emitted=True, status=status)
    yield Emit(meter.usage + DONE_EVENT)
    return shown


def deal_plain(trade: Trade, reply: Reply) -> Flow[SignedReceipt]:
    """Check a whole answer before anybody sees it. Raises AnswerCut or PayeeCheated."""
    try:
        receipt = receipt_of(reply)
        choices = choices_of_body(_body_of(reply))
    except (BadVoucher, BadRequest) as exc:
        raise AnswerCut("the provider's answer is malformed", emitted=False) from exc
    receipt = receipt or (yield from find_receipt(trade))
    if receipt is None:
        raise AnswerCut("the provider's answer came without a receipt", emitted=False)
    delivered = yield from count(trade, choices)
    yield from take_receipt(trade, receipt, replace(delivered, is_whole=True))
    if receipt.receipt.status != Status.COMPLETE and not is_free(receipt, choices):
        raise AnswerCut("the provider's own receipt says that the answer is not complete", emitted=False)
    return receipt


def is_free(shown: SignedReceipt, choices: tuple[Choice, ...]) -> bool:
    """An answer that ended as it should and holds nothing (a stop word came first): the billing table gives it away."""
    is_finished = bool(choices) and all(choice.finish_reason is not None for choice in choices)
    return shown.receipt.status == Status.FAILED and is_finished and not any(billable_texts(choices))


def _body_of(reply: Reply) -> Mapping[str, Any]:
    """As every strict reader reads it: what only we could read would be paid for and be no answer to anybody else."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest("the answer is not JSON") from exc
    return body if isinstance(body, dict) else {}


def find_receipt(trade: Trade) -> Flow[SignedReceipt | None]:
    """The receipt of this purchase, asked for by its id."""
    return (yield from fetch_receipt(trade.url, trade.key, trade.purchase.request_id))


def count(trade: Trade, choices: tuple[Choice, ...]) -> Flow[Delivered]:
    """Our own count and hash of what came."""
    texts = [text for text in billable_texts(choices) if text]
    size = sum(map(len, texts))
    tokens: int = yield Compute(lambda: sum(map(trade.counter.count_completion, texts)), size)
    return Delivered(tokens, response_hash(trade.purchase.salt, choices), is_empty=not texts)


def take_receipt(case: Case, shown: SignedReceipt, delivered: Delivered) -> Flow[Purse]:
    """Rule 5. Book a good receipt; keep a bad one as evidence and stop. Raises PayeeCheated."""
    try:
        signer = case.payer.tools.recover(case.payer.domain.digest(shown.receipt.struct_hash()), shown.signature)
        check_receipt(shown.receipt, signer, case.operator, case.purchase)
        credit = check_delivery(shown.receipt, case.purchase, delivered)
        answer = yield from _word_on(case, shown)
        case.purse = yield InWallet(partial(_book, case=case, shown=shown, credit=credit, answer=answer))
    except WrongSignature as exc:
        yield from accuse(case, Problem("wrong_signer", exc.message), shown, delivered)
    except Problem as problem:
        yield from accuse(case, problem, shown, delivered)
    return case.purse


def _book(books: Books, case: Case, shown: SignedReceipt, credit: Amount, answer: SignedAnswer | None) -> Purse:
    """Receipt and answer in one commit."""
    now = now_of(case.payer)
    purse = books.book(case.purchase, shown.receipt, shown.signature, credit, now)
    if answer is not None:
        books.keep_answer(answer)
    elif shown.receipt.answer_hash != ZERO32:
        withheld = Problem("answer_withheld", "the receipt names an answer that its executor does not show")
        books.note(case.purchase.key, withheld, {"url": case.url, "shown": shown.to_json()}, now)
    return purse


def _word_on(case: Case, shown: SignedReceipt) -> Flow[SignedAnswer | None]:
    """The executor's checked answer to a purchase of a node's; asked for if it did not come. Raises Problem."""
    receipt, terms = shown.receipt, case.purchase.terms
    if receipt.answer_hash == ZERO32:
        if is_due(terms, receipt.status):
            raise Problem("no_answer", "the executor signed no answer to another node's purchase")
        return None
    found = shown.answer
    if found is None:
        later = yield from fetch_receipt(case.url, case.purchase.key, receipt.request_id)
        found = None if later is None else later.answer
    if found is not None:
        tools, domain = case.payer.tools, case.payer.domain
        signer = tools.recover(domain.digest(found.answer.struct_hash()), found.signature)
        check_answer(found.answer, signer, (receipt, terms, case.operator))
    return found


def accuse(case: Case, problem: Problem, shown: SignedReceipt | None, delivered: Delivered) -> Flow[None]:
    """Keep the evidence, sign nothing more to this payee. Always raises PayeeCheated."""
    evidence: dict[str, object] = {
        "url": case.url,
        "shown": None if shown is None else shown.to_json(),
        "request_id": hex_of(case.purchase.request_id),
        "max_price": str(case.purchase.max_price),
        "prompt_tokens": case.purchase.prompt_tokens,
        "completion_tokens": delivered.completion_tokens,
        "response_hash": None if delivered.response_hash is None else hex_of(delivered.response_hash),
    }
    stop = partial(Books.stop, key=case.purchase.key, problem=problem, evidence=evidence, now=now_of(case.payer))
    yield InWallet(stop)
    raise PayeeCheated(f"the provider broke a rule ({problem.code}): {problem.message}", finding=problem.code)
