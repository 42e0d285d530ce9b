"""A provider opened a new generation: show it our last receipt, and those it may have lost, so that the lane goes on.

Rule 6 on the payer's side. What we hand over is public evidence (receipts, terms, salts, vouchers); the note that says
where to go on is signed by the lane, because anybody could show an old receipt.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import select

from node.client import tables
from node.client.books import Books, Held
from node.client.effects import Fetch, Flow, InWallet, NoReply, Reply
from node.client.lookups import fetch_json
from node.client.provider import UntrustedProvider
from node.client.rows import key_of, purchase_of
from node.client.trade import Trade, now_of
from node.client.x402 import SignedReceipt
from node.core.errors import BadVoucher, PeerFailed
from node.core.messages import Voucher
from node.core.recovery import LaneNote
from node.core.types import ZERO32, Amount, LaneKey
from node.core.wire import hex_of, message_to_json, uint_of

PAGE = 100
"""Receipts in one call: about 250 KB."""
MOST_LOST = 20_000
"""More are not offered: the lane goes on all the same, only their evidence stays with us."""


def reopen(trade: Trade) -> Flow[None]:
    """Open this trade's lane in its generation. Raises PeerFailed or UntrustedProvider."""
    earlier: list[LaneKey] = yield InWallet(partial(_earlier_keys, key=trade.key))
    last: SignedReceipt | None = None
    for key in earlier:
        found: Any = yield InWallet(partial(Books.last_receipt, key=key))
        last = last or (None if found is None else SignedReceipt(*found))
    rows: list[dict[str, Any]] = []
    for key in reversed(earlier):
        rows += yield from _lost_rows(trade, key)
    for start in range(0, max(len(rows), 1), PAGE):
        has_more = start + PAGE < len(rows)
        yield from _post(trade, last, rows[start : start + PAGE], has_more)


def _earlier_keys(books: Books, key: LaneKey) -> list[LaneKey]:
    """The lane's earlier generations in this wallet, the newest first."""
    table = tables.purse
    same = (table.c.payer == key.payer, table.c.payee == key.payee, table.c.lane == key.lane)
    query = select(table).where(*same, table.c.generation < key.generation).order_by(table.c.generation.desc())
    return [key_of(row) for row in books.connection.execute(query).all()]


def _lost_rows(trade: Trade, key: LaneKey) -> Flow[list[dict[str, Any]]]:
    """Our receipts of a closed generation after the last one that the node knows."""
    url = f"{trade.url}/v1/lanes/{hex_of(key.payer)}/{hex_of(key.lane)}?generation={key.generation}"
    document = yield from fetch_json(url)
    try:
        after = uint_of(document.get("seq", 0), 64, "seq")
    except BadVoucher:
        after = 0
    held: Sequence[Held] = yield InWallet(partial(_held_after, key=key, after=after))
    purse = yield InWallet(partial(Books.load_purse, key=key))
    return [row for one in held if (row := _row_of(trade, one, purse.ceiling)) is not None]


def _held_after(books: Books, key: LaneKey, after: int) -> list[Held]:
    table, bought = tables.receipt, tables.purchase
    same = (table.c.payer == key.payer, table.c.payee == key.payee, table.c.lane == key.lane)
    ids = select(table.c.request_id).where(*same, table.c.generation == key.generation, table.c.seq > after)
    found = []
    for request_id in books.connection.execute(ids.order_by(table.c.seq).limit(MOST_LOST)).scalars().all():
        here = (bought.c.payee == key.payee, bought.c.request_id == request_id)
        row = books.connection.execute(select(bought).where(*here)).first()
        held = None if row is None else books.load_purchase(purchase_of(row).key, request_id)
        if held is not None:
            found.append(held)
    return found


def _row_of(trade: Trade, held: Held, ceiling: Amount) -> dict[str, Any] | None:
    """A receipt with its terms and a voucher over them: signed anew, up to that generation's ceiling."""
    key, terms = held.purchase.key, held.purchase.terms
    signer = trade.payer.signer_of(key)
    if signer is None or held.receipt is None or held.signature is None:
        return None
    voucher = Voucher(key.payer, key.payee, key.generation, ceiling, terms.struct_hash())
    return {
        **SignedReceipt(held.receipt, held.signature).to_json(),
        "terms": message_to_json(terms),
        "salt": hex_of(held.purchase.salt),
        "voucher": message_to_json(voucher),
        "voucherSignature": hex_of(signer.sign(trade.payer.domain.digest(voucher.struct_hash()))),
    }


def _post(trade: Trade, last: SignedReceipt | None, rows: list[dict[str, Any]], has_more: bool) -> Flow[None]:  # noqa: FBT001 -- a member of the body
    body = json.dumps({**_signed_note(trade, last), "receipts": rows, "hasMore": has_more}).encode()
    headers = {"content-type": "application/json"}
    reply: Reply | NoReply = yield Fetch("POST", f"{trade.url}/v1/lanes/resync", headers, body)
    if isinstance(reply, NoReply) or reply.status != 200:
        why = reply.why if isinstance(reply, NoReply) else f"HTTP {reply.status}: {reply.body[:300]!r}"
        raise PeerFailed(f"{trade.url} does not open our lane again: {why}")
    if not has_more:
        yield from _hear_base(trade, reply)


def _signed_note(trade: Trade, last: SignedReceipt | None) -> dict[str, Any]:
    key, signer = trade.key, trade.payer.signer_of(trade.key)
    if signer is None:
        raise PeerFailed("the key of this lane is not loaded")
    shown = ZERO32 if last is None else last.receipt.struct_hash()
    note = LaneNote(key.payer, key.payee, key.lane, key.generation, shown)
    members = {
        "payer": hex_of(note.payer),
        "payee": hex_of(note.payee),
        "lane": hex_of(note.lane),
        "generation": note.generation,
        "lastReceipt": hex_of(note.last_receipt),
    }
    return {
        "note": members,
        "signature": hex_of(signer.sign(trade.payer.domain.digest(note.struct_hash()))),
        "lastReceipt": None if last is None else last.to_json(),
    }


def _hear_base(trade: Trade, reply: Reply) -> Flow[None]:
    """Where the payee starts; above what our receipts explain it counts as a gap like any other total."""
    try:
        charged = Amount(uint_of(json.loads(reply.body).get("charged"), 128, "charged"))
    except (BadVoucher, ValueError, AttributeError) as exc:
        raise UntrustedProvider("the provider's answer to a resync is malformed") from exc
    hear = partial(Books.hear, key=trade.key, total=charged, now=now_of(trade.payer))
    trade.purse = yield InWallet(hear)
