"""Rule 6 on the payer's side: what to do with a corrective 402, and how missing receipts are fetched.

Either side proves state by the *other's* signature only. A payee's bare number may raise our ceiling within the
exposure (the bound holds), never what we count as verified.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from node.client.books import Books, Held
from node.client.delivery import accuse, take_receipt
from node.client.effects import Flow, InWallet
from node.client.lookups import fetch_json
from node.client.provider import UntrustedProvider
from node.client.trade import Trade, now_of
from node.client.verify import NOTHING, Problem
from node.client.x402 import Demand, SignedReceipt, parse_demand, parse_receipt
from node.core.errors import BadVoucher, Refused, WrongSignature
from node.core.messages import Voucher
from node.core.types import Amount, Signature
from node.core.wire import hex_of, message_from_json, signature_of, uint_of

PAGE = 100
MOST_PAGES = 50
"""A payee that pages for ever stalls its own sale only this long."""


def resync(trade: Trade, payload: Mapping[str, Any]) -> Flow[SignedReceipt | None]:
    """Bring our books and the payee's together, then raise the ceiling as far as the exposure allows.

    Returns our last receipt, to show to a frozen lane. Raises UntrustedProvider, ExposureReached or PayeeCheated.
    """
    try:
        demand = parse_demand(payload)
    except BadVoucher as exc:
        raise UntrustedProvider(f"the provider's 402 is malformed: {exc.message}") from exc
    _check_identity(trade, demand)
    if demand.last is not None:
        yield from _hear(trade, demand.last)
    key = trade.key
    last: tuple[Any, Signature] | None = yield InWallet(lambda books: books.last_receipt(key))
    need = Amount(trade.purse.heard + trade.purse.in_flight)
    asked = Amount(trade.purse.ceiling + demand.shortfall)
    limits = trade.payer.limits
    trade.purse = yield InWallet(partial(Books.raise_ceiling, key=key, wanted=max(need, asked), limits=limits))
    return None if last is None else SignedReceipt(*last)


def _check_identity(trade: Trade, demand: Demand) -> None:
    """A 402 that names another payee, operator or chain than the escrow does is not answered with money."""
    payer = trade.payer
    expected = (payer.network, payer.domain.escrow, trade.key.payee, trade.operator, trade.key.generation)
    shown = (demand.network, demand.escrow, demand.pay_to, demand.operator, demand.generation)
    if expected != shown:
        raise UntrustedProvider("the provider's 402 differs from what the escrow says", url=trade.url)


def _hear(trade: Trade, last: SignedReceipt) -> Flow[None]:
    """A total proved by the operator's signature: explain it by receipts of ours, or adopt it after a lost database."""
    if not _is_operators(trade, last) or last.receipt.key != trade.key:
        raise UntrustedProvider("the last receipt in the provider's 402 is not this lane's")
    if last.receipt.cumulative <= trade.purse.explained:
        return
    if not trade.purse.explained:
        yield from _adopt(trade, last)
    if last.receipt.cumulative > trade.purse.explained:
        hear = partial(Books.hear, key=trade.key, total=last.receipt.cumulative, now=now_of(trade.payer))
        trade.purse = yield InWallet(hear)
        yield from explain(trade)


def _is_operators(trade: Trade, shown: SignedReceipt) -> bool:
    digest = trade.payer.domain.digest(shown.receipt.struct_hash())
    try:
        return trade.payer.tools.recover(digest, shown.signature) == trade.operator
    except WrongSignature:
        return False


def _adopt(trade: Trade, last: SignedReceipt) -> Flow[None]:
    """Our own signature under a higher ceiling than this wallet ever signed proves that the wallet forgot."""
    url = f"{trade.url}/v1/lanes/{hex_of(trade.key.payer)}/{hex_of(trade.key.lane)}"
    document = yield from fetch_json(url)
    ceiling = _signed_ceiling(trade, document)
    if ceiling is None or ceiling <= trade.purse.ceiling or last.receipt.cumulative > ceiling:
        return
    try:
        adopt = partial(Books.adopt, key=trade.key, ceiling=ceiling, base=last.receipt.cumulative)
        trade.purse = yield InWallet(adopt)
    except Refused as exc:
        raise UntrustedProvider(exc.message) from exc


def _signed_ceiling(trade: Trade, document: Mapping[str, Any]) -> Amount | None:
    """The ceiling of the shown voucher if our own lane key signed it for this payee and generation."""
    shown = document.get("bestVoucher")
    if not isinstance(shown, dict):
        return None
    try:
        voucher = message_from_json(Voucher, shown.get("voucher"))
        digest = trade.payer.domain.digest(voucher.struct_hash())
        signer = trade.payer.tools.recover(digest, signature_of(shown.get("signature")))
    except (BadVoucher, WrongSignature):
        return None
    key = trade.key
    is_ours = (voucher.payer, voucher.payee, voucher.generation) == (key.payer, key.payee, key.generation)
    return voucher.ceiling if is_ours and signer == key.lane else None


def explain(trade: Trade) -> Flow[None]:
    """Fetch this lane's receipts that we miss (rule 1). Raises PayeeCheated for one that proves a fault."""
    key = trade.key
    after: int = yield InWallet(partial(Books.missing_since, key=key, now=now_of(trade.payer)))
    for _ in range(MOST_PAGES):
        query = f"payer={hex_of(key.payer)}&lane={hex_of(key.lane)}&generation={key.generation}"
        document = yield from fetch_json(f"{trade.url}/v1/receipts?{query}&after={after}&limit={PAGE}")
        rows = document.get("receipts")
        for row in rows if isinstance(rows, list) else ():
            yield from _take_missing(trade, row)
        try:
            following = uint_of(document.get("next"), 64, "next")
        except BadVoucher:
            return  # none, or nonsense
        if following <= after:
            return
        after = following


def _take_missing(trade: Trade, row: object) -> Flow[None]:
    try:
        shown = parse_receipt(row)
    except BadVoucher:
        return
    if not _is_operators(trade, shown) or shown.receipt.key != trade.key:
        return  # unsigned talk proves nothing, neither for nor against
    key, request_id = trade.key, shown.receipt.request_id
    held: Held | None = yield InWallet(lambda books: books.load_purchase(key, request_id))
    if held is None:
        if shown.receipt.cumulative > trade.purse.base:  # up to the base a lost database explains it
            problem = Problem("unknown_request", "a receipt for a request that this wallet never made")
            yield from accuse(trade, problem, shown, NOTHING)
        return
    if held.receipt is None:
        yield from take_receipt(replace(trade, purchase=held.purchase), shown, held.seen)
        trade.purse = yield InWallet(lambda books: books.load_purse(key))
