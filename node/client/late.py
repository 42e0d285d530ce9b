"""The receipt of an answer that was cut or left before its end: asked for afterwards, believed as far as it came.

Whoever sees nothing has verified nothing: such a charge stays counted against the exposure for good (rule 1).
"""

from dataclasses import replace
from functools import partial

from node.client.books import Books
from node.client.delivery import take_receipt
from node.client.effects import Flow, InWallet, Sleep
from node.client.lookups import fetch_late_receipt
from node.client.trade import Case, Trade, now_of
from node.client.verify import Delivered, Problem, proven_tokens
from node.client.x402 import SignedReceipt
from node.core.errors import PeerFailed
from node.core.types import TokenCount
from node.core.wire import hex_of

LATE_RECEIPT_PAUSES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""When to ask for the receipt. The books' sweep asks again."""
NODE_PAUSES = 3
"""How many of these a node waits for."""


def settle_cut(trade: Trade) -> Flow[TokenCount | None]:
    """After a cut or a hang-up: keep what came, ask for the receipt for a while. What it proves; None without one.

    A node keeps its own client's bill open meanwhile, and not for long: what a hang-up allows is believed for as long
    as it can be billed on, and never in a later sweep (threat P18).
    """
    is_node = trade.payer.hops > 0
    lasting = replace(trade.seen, hung_up=trade.seen.hung_up and not is_node)
    yield InWallet(partial(Books.save_seen, purchase=trade.purchase, seen=lasting))
    for pause in LATE_RECEIPT_PAUSES[: NODE_PAUSES if is_node else None]:
        yield Sleep(pause)
        shown = yield from _find_late(trade)
        if shown is not None:
            yield from take_late(trade, shown, trade.seen)
            return proven_tokens(shown.receipt, trade.seen)
    return None


def _find_late(trade: Trade) -> Flow[SignedReceipt | None]:
    try:
        return (yield from fetch_late_receipt(trade.url, trade.key, trade.purchase.request_id))
    except PeerFailed:
        return None


def take_late(case: Case, shown: SignedReceipt, seen: Delivered) -> Flow[None]:
    """Book it. A charge for what never came, where we did not leave, is noted. Raises PayeeCheated."""
    yield from take_receipt(case, shown, seen)
    if not shown.receipt.charge or seen.completion_tokens or seen.hung_up:
        return
    unseen = Problem("charged_unseen", f"charged {shown.receipt.charge} for an answer of which nothing came")
    evidence = {"url": case.url, "shown": shown.to_json(), "request_id": hex_of(case.purchase.request_id)}
    key, now = case.purchase.key, now_of(case.payer)
    yield InWallet(partial(Books.note, key=key, problem=unseen, evidence=evidence, now=now))
