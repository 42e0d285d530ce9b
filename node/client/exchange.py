"""One purchase against one provider: send, understand the reply, retry under the *same* id, never pay twice.

Three ways out: an answer, a definite "not served" (the next provider may be asked), or an error that says that the
outcome is unknown. A refusal is believed for going on; what it would cost us if it were a lie is inside the exposure.
"""

from dataclasses import replace
from functools import partial

from node.client.books import Books
from node.client.delivery import AnswerCut, Meter, count, deal_plain, deal_stream, find_receipt, take_receipt
from node.client.effects import Fail, Fetch, Flow, GaveUp, HungUp, InWallet, NoReply, Open, Read, Reply, Shut, Sleep
from node.client.late import settle_cut
from node.client.reopen import reopen
from node.client.resync import resync
from node.client.trade import Trade, payment_header
from node.client.x402 import PAYMENT, Refusal, SignedReceipt, parse_refusal, receipt_of
from node.core.errors import BadVoucher, PeerFailed, Refused, Unavailable, WwwserveError
from node.core.types import Status

HTTP_OK, HTTP_BUG = 200, 500
PLAIN_TIMEOUT = 600.0
ERROR_LIMIT = 1 << 20

OWN_FAULT = frozenset({"bad_request", "prompt_too_long", "price_too_low", "too_large"})
"""Every provider would say the same."""
NEEDS_FRESH_TERMS = frozenset({"stale_terms", "stale_generation", "wrong_terms"})
NEEDS_RESYNC = frozenset({"ceiling_too_low", "lane_frozen"})
UNKNOWN = frozenset({"", "ledger_unavailable"})
"""No word of a node of ours that it served nothing: a proxy's page, or books that cannot say."""


class NodeRefused(Refused):
    """The provider's own error, handed on as it came."""

    def __init__(self, said: Refusal) -> None:
        super().__init__(said.message)
        self.said = said


class NextProvider(Exception):
    """This provider surely serves (and may charge) nothing for this request."""

    def __init__(self, error: WwwserveError) -> None:
        super().__init__(str(error))
        self.error = error


class FreshId(Exception):
    """The id is used up without an answer; the same provider may be asked under a new one."""


class AlreadyPaid(Refused):
    """This request was served and paid before; the provider does not give its answer twice. Nothing was paid again."""


class OutcomeUnknown(Unavailable):
    """The provider does not say whether it serves this request. Retry: it goes out under the same id."""


def exchange(trade: Trade) -> Flow[tuple[SignedReceipt, bytes]]:
    """The receipt and, for a plain request, the body. Raises NextProvider, FreshId or what the caller must be told."""
    try:
        return (yield from _attempts(trade))
    except HungUp as left:
        yield Shut()
        trade.seen = replace(trade.seen, hung_up=not isinstance(left, GaveUp))
        left.proven = yield from settle_cut(trade)
        raise


def _attempts(trade: Trade) -> Flow[tuple[SignedReceipt, bytes]]:
    shown: SignedReceipt | None = None
    for attempt in range(trade.payer.attempts):
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",  # a compressed stream would be held back until a block is full
            PAYMENT: payment_header(trade, shown),
        }
        reply: Reply | NoReply = yield _request(trade, headers)
        if isinstance(reply, NoReply):
            trade.is_unknown |= reply.was_sent
            if not trade.is_unknown:
                yield from _not_served(trade)
                raise NextProvider(PeerFailed(f"{trade.url}: {reply.why}"))
            yield Sleep(0.25 * 2**attempt)
            continue
        if reply.status == HTTP_OK:
            answer = yield from _deal(trade, reply)
            if answer is not None:
                return answer
            trade.is_unknown = True
            continue
        if trade.ask.is_stream:
            reply = yield from _read_error(reply)
        shown = yield from _refused(trade, reply)
    return (yield from _unknown(trade))


def _request(trade: Trade, headers: dict[str, str]) -> Fetch | Open:
    url = trade.url + trade.ask.path
    if trade.ask.is_stream:
        return Open(url, headers, trade.ask.body)
    return Fetch("POST", url, headers, trade.ask.body, timeout=PLAIN_TIMEOUT)


def _read_error(opened: Reply) -> Flow[Reply]:
    body = b""
    while len(body) < ERROR_LIMIT:
        raw: bytes | NoReply = yield Read()
        if isinstance(raw, NoReply) or not raw:
            break
        body += raw
    yield Shut()
    return replace(opened, body=body)


def _deal(trade: Trade, reply: Reply) -> Flow[tuple[SignedReceipt, bytes] | None]:
    """The answer; None when it was cut before anything was passed on, so that the same id may be tried again."""
    if not trade.ask.is_stream:
        receipt = yield from deal_plain(trade, reply)
        return receipt, reply.body
    meter = Meter(is_resold=trade.purchase.terms.hops > 0)
    try:
        receipt = yield from deal_stream(trade, meter)
    except HungUp:
        trade.seen = yield from count(trade, meter.assembler.choices())
        raise
    except AnswerCut as exc:
        yield Shut()
        trade.seen = yield from count(trade, meter.assembler.choices())
        if not trade.has_emitted:
            return None
        yield Fail(exc)
        yield from settle_cut(trade)
        raise
    yield Shut()
    return receipt, b""


def _refused(trade: Trade, reply: Reply) -> Flow[SignedReceipt | None]:
    """What to do after an error status. Returns (to try again) the receipt to show, or raises."""
    said = parse_refusal(reply)
    receipt = _receipt_in(reply)
    if receipt is not None:
        yield from _take_ended(trade, receipt)
    if said.code in UNKNOWN or said.status == HTTP_BUG or said.code == "in_progress":
        trade.is_unknown = True
        yield Sleep(said.retry_after)
        return None
    if said.code == "already_served":
        raise OutcomeUnknown("the provider says that it served this id, but shows no receipt")
    if said.code in NEEDS_RESYNC and not trade.is_resynced:
        trade.is_resynced = True
        return (yield from _resync(trade, said))
    if _may_be_served(trade) and said.code != "stale_terms":
        yield Sleep(said.retry_after)
        return None
    yield from _not_served(trade)
    if said.code in NEEDS_FRESH_TERMS:
        trade.directory.forget(trade.url)
        raise FreshId(said.code)
    if said.code in OWN_FAULT:
        raise NodeRefused(said)
    raise NextProvider(NodeRefused(said))


def _may_be_served(trade: Trade) -> bool:
    """An earlier send of this id may still be on its way: a plain answer nobody reads is charged all the same (P16)."""
    return trade.is_unknown and not trade.ask.is_stream


def _receipt_in(reply: Reply) -> SignedReceipt | None:
    try:
        return receipt_of(reply)
    except BadVoucher:
        return None


def _resync(trade: Trade, said: Refusal) -> Flow[SignedReceipt | None]:
    try:
        if said.code == "lane_frozen":
            yield from reopen(trade)
        return (yield from resync(trade, said.payload))
    except (Refused, PeerFailed) as exc:
        if _may_be_served(trade):
            yield Sleep(said.retry_after)
            return None
        yield from _not_served(trade)
        raise NextProvider(exc) from exc


def _take_ended(trade: Trade, receipt: SignedReceipt) -> Flow[None]:
    """An error that comes with a receipt: the id is used up. Raises AlreadyPaid, FreshId or PayeeCheated."""
    yield from take_receipt(trade, receipt, trade.seen)
    if receipt.receipt.status == Status.COMPLETE or receipt.receipt.charge:
        raise AlreadyPaid(
            "this request was charged before and the provider gives its answer only once; nothing is paid again",
            charge=receipt.receipt.charge,
        )
    raise FreshId("the receipt says that nothing was served")


def _not_served(trade: Trade) -> Flow[None]:
    yield InWallet(partial(Books.refuse, purchase=trade.purchase))


def _unknown(trade: Trade) -> Flow[tuple[SignedReceipt, bytes]]:
    """Every attempt ended without a word.

    A stream of which no token came costs nothing by the billing table, so the next provider may be asked; a plain
    answer may have been served and lost, so it may not.
    """
    receipt = yield from find_receipt(trade)
    if receipt is not None:
        yield from _take_ended(trade, receipt)
    if trade.ask.is_stream and not trade.has_emitted and not trade.is_resumed:
        raise NextProvider(PeerFailed(f"{trade.url} does not answer"))
    raise OutcomeUnknown(f"{trade.url} does not say whether it serves this request: try again", retry_after=2)
