"""One OpenAI request, bought: provider after provider until one has surely served it, and never two that may have.

Read this, then trade.py (reserve, sign), exchange.py (send), delivery.py (receive, check), wallet.py (the bounds).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.client.books import Held
from node.client.effects import Flow, InWallet, ReadOperator
from node.client.exchange import AlreadyPaid, FreshId, NextProvider, exchange
from node.client.payer import Payer
from node.client.pins import Pin
from node.client.provider import Directory, UntrustedProvider, learn, learn_counter
from node.client.quote import Ask
from node.client.trade import Trade, begin
from node.client.wallet import BudgetReached, ExposureReached, PayeeStopped, PurchaseState, Purse, check_not_stopped
from node.client.x402 import SignedReceipt
from node.core.errors import (
    BadConfig,
    ChainUnavailable,
    PeerFailed,
    PromptTooLong,
    UnknownModel,
    WwwserveError,
)
from node.core.types import Address, Bytes32, Status

FRESH_IDS = 3
"""New ids tried with one provider in one request: after stale terms, a new generation, a cancelled first try."""
ASK_ANOTHER = (
    PeerFailed,
    UntrustedProvider,
    UnknownModel,
    BadConfig,
    ChainUnavailable,
    ExposureReached,
    BudgetReached,
    PayeeStopped,
    PromptTooLong,
)
"""Nothing was sent to this provider: another one may fit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was bought. `body` is empty for a stream: its events have been emitted. `salt` is in its signed hashes."""

    body: bytes
    url: str
    paid: SignedReceipt
    salt: Bytes32


def buy(
    ask: Ask,
    payer: Payer,
    urls: Sequence[str],
    directory: Directory,
    earlier: Held | None = None,
) -> Flow[Answer]:
    """`earlier` is the purchase that a recognised retry means: its id is used again, so that it is never paid twice."""
    if earlier is not None:
        answer = yield from _resume(ask, payer, directory, earlier)
        if answer is not None:
            return answer
    failures: list[WwwserveError] = []
    for url in urls:
        try:
            return (yield from _buy_at(url, ask, payer, directory))
        except NextProvider as exc:
            failures.append(exc.error)
        except ASK_ANOTHER as exc:
            failures.append(exc)
    raise _most_telling(failures)


def _buy_at(url: str, ask: Ask, payer: Payer, directory: Directory) -> Flow[Answer]:
    why = ""
    for _ in range(FRESH_IDS if payer.twin is None else 1):
        provider = yield from learn(url, payer, directory)
        trade = yield from begin(provider, ask, payer, directory)
        try:
            receipt, body = yield from exchange(trade)
        except FreshId as exc:
            why = str(exc)
            continue
        return Answer(body, url, receipt, trade.purchase.salt)
    raise NextProvider(PeerFailed(f"{url} keeps refusing fresh requests ({why})"))


def _resume(ask: Ask, payer: Payer, directory: Directory, earlier: Held) -> Flow[Answer | None]:
    """The earlier purchase sent again, unchanged. None when it surely ended unserved: a new id is right (rule 9)."""
    if earlier.receipt is not None:
        if earlier.receipt.status == Status.COMPLETE:
            raise AlreadyPaid("this request was answered and paid before; nothing is paid again")
        return None
    if earlier.purchase.state is PurchaseState.REFUSED:
        return None
    trade = yield from _reopen(ask, payer, directory, earlier)
    try:
        receipt, body = yield from exchange(trade)
    except (FreshId, NextProvider):
        return None
    return Answer(body, trade.url, receipt, trade.purchase.salt)


def _reopen(ask: Ask, payer: Payer, directory: Directory, earlier: Held) -> Flow[Trade]:
    """The trade of a purchase found in the books. Its outcome counts as unknown from the start."""
    key, url = earlier.purchase.key, earlier.origin.url
    terms = earlier.purchase.terms
    counter = yield from learn_counter(url, ask.model, Pin(terms.tokenizer, terms.template), payer, directory)
    operator: Address = yield ReadOperator(key.payee, key.generation)
    purse: Purse = yield InWallet(lambda books: books.load_purse(key))
    check_not_stopped(purse)
    trade = Trade(ask, payer, directory, url, operator, earlier.purchase, purse, counter)
    trade.is_unknown = trade.is_resumed = True
    trade.seen = earlier.seen
    return trade


def _most_telling(failures: Sequence[WwwserveError]) -> WwwserveError:
    """The first failure that is more than "I do not have that model"."""
    if not failures:
        return BadConfig("no provider is set: give --provider URL or --discover")
    return next((error for error in failures if not isinstance(error, UnknownModel)), failures[0])
