"""Housekeeping of the wallet as a flow: late receipts, dropped entries, overdue gaps. Run at start and now and then.

After a kill this is what brings the books up to date: whatever the killed process had in flight stands in the wallet.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from node.client.books import Books, Held
from node.client.delivery import PayeeCheated
from node.client.effects import Flow, InWallet, ReadOperator
from node.client.late import take_late
from node.client.lookups import fetch_late_receipt
from node.client.payer import Payer
from node.client.trade import LateCase, now_of
from node.client.verify import Problem
from node.client.wallet import GAP_PATIENCE, Purse, is_gap_overdue
from node.core.errors import PeerFailed, WwwserveError
from node.core.types import Address, Bytes32, Seconds


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found. `failed` providers could not be asked."""

    booked: int
    dropped: int
    stopped: int
    failed: int


def sweep(payer: Payer, live: Collection[Bytes32] = ()) -> Flow[Swept]:
    """`live` are the requests with a stream open in this process: they are left alone."""
    booked = failed = 0
    waiting: list[Held] = yield InWallet(Books.load_open)
    silent: set[str] = set()
    for held in waiting:
        if held.purchase.request_id in live or held.origin.url in silent:
            continue
        try:
            booked += yield from _book_late(held, payer)
        except PayeeCheated:
            booked += 1  # the evidence is kept and the payee stopped
        except WwwserveError as exc:
            failed += 1
            if isinstance(exc, PeerFailed):
                silent.add(held.origin.url)
    now = now_of(payer)
    dropped: list[Bytes32] = yield InWallet(partial(Books.drop_stale, now=now, live=tuple(live)))
    stopped = yield from _stop_overdue(now)
    return Swept(booked, len(dropped), stopped, failed)


def _book_late(held: Held, payer: Payer) -> Flow[int]:
    key, url = held.purchase.key, held.origin.url
    shown = yield from fetch_late_receipt(url, key, held.purchase.request_id)
    if shown is None:
        return 0
    operator: Address = yield ReadOperator(key.payee, key.generation)
    purse: Purse = yield InWallet(lambda books: books.load_purse(key))
    case = LateCase(payer, url, operator, held.purchase, purse)
    yield from take_late(case, shown, held.seen)
    return 1


def _stop_overdue(now: Seconds) -> Flow[int]:
    """Rule 1: a total that no receipt explains for ten minutes. The owner should thaw, too."""
    purses: list[Purse] = yield InWallet(Books.load_purses)
    overdue = [purse for purse in purses if is_gap_overdue(purse, now) and not purse.stopped]
    for purse in overdue:
        text = f"{purse.gap} base units are not explained by receipts for {GAP_PATIENCE} s: thaw this pair"
        problem = Problem("unexplained_gap", text)
        evidence: dict[str, object] = {"heard": str(purse.heard), "explained": str(purse.explained)}
        yield InWallet(partial(Books.stop, key=purse.key, problem=problem, evidence=evidence, now=now))
    return len(overdue)
