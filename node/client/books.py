"""The wallet's books inside one database transaction: load, apply a pure transition of `wallet.py`, save.

Every method runs under SQLite's one write lock, so several gateways on one wallet file cannot race. It decides nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.dialects.sqlite import insert

from node.client import statements as hot
from node.client import tables, wallet
from node.client.rows import (
    Origin,
    is_lane,
    is_request,
    key_of,
    lane_values,
    purchase_of,
    purchase_values,
    purse_of,
    request_values,
)
from node.client.verify import Delivered, Problem, check_neighbours
from node.client.wallet import Limits, Purchase, PurchaseState, Purse, Spend
from node.core.answers import SignedAnswer
from node.core.messages import Answer, Receipt
from node.core.types import Address, Amount, Bytes32, LaneKey, Seconds, Signature
from node.core.wire import hex_of, message_from_json, message_to_json

RETRY_CANDIDATES = 32
"""More requests of one body in ten minutes are not told apart."""
MISSING_SECONDS = 7_200
"""Receipts older than this are not looked for: the payer has stopped long before (rule 1)."""
CLOCK_SKEW = 120
"""Seconds that a payee's clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class Held:
    """A purchase as stored: with its receipt once there is one."""

    purchase: Purchase
    origin: Origin
    seen: Delivered
    receipt: Receipt | None = None
    signature: Signature | None = None


class Books:
    """All reads and writes of the wallet, on one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    @property
    def connection(self) -> Connection:
        """The open transaction, for modules with tables of their own (settlements)."""
        return self._db

    def load_cursor(self, name: str, first: int) -> int:
        """The next block to read."""
        query = select(tables.cursor.c.block_number).where(tables.cursor.c.name == name)
        found = self._db.execute(query).scalar()
        return first if found is None else int(found)

    def save_cursor(self, name: str, following: int) -> None:
        """In the same transaction as what was read, so that nothing is skipped."""
        statement = insert(tables.cursor).values(name=name, block_number=following)
        keys = ["name"]
        self._db.execute(statement.on_conflict_do_update(index_elements=keys, set_={"block_number": following}))

    # ------------------------------------------------------------------------------------------------- purses

    def load_purse(self, key: LaneKey) -> Purse:
        """The purse of a lane and generation; a new one continues the lane's last generation."""
        row = self._db.execute(hot.PURSE, lane_values(key)).first()
        reason = self._stop_reason(key)
        if row is not None:
            return replace(purse_of(row), stopped=reason)
        before = self._newest_purse(key)
        fresh = Purse(key) if before is None else wallet.next_generation(before, key.generation)
        return replace(fresh, stopped=reason)

    def load_purses(self) -> list[Purse]:
        """Every purse."""
        rows = self._db.execute(select(tables.purse))
        return [replace(purse_of(row), stopped=self._stop_reason(key_of(row))) for row in rows]

    def _newest_purse(self, key: LaneKey) -> Purse | None:
        row = self._db.execute(hot.EARLIER_PURSE, lane_values(key)).first()
        return None if row is None else purse_of(row)

    def _stop_reason(self, key: LaneKey) -> str:
        return self._db.execute(hot.STOP_REASON, lane_values(key)).scalar() or ""

    def save_purse(self, purse: Purse) -> None:
        """Write the totals."""
        totals = {name: getattr(purse, name) for name in hot.TOTALS}
        self._db.execute(hot.SAVE_PURSE, {**lane_values(purse.key), **totals})

    def load_spend(self, day: int) -> Spend:
        """What a day has cost so far."""
        return Spend(day, Amount(self._db.execute(hot.SPEND, {"day": day}).scalar() or 0))

    def _save_spend(self, spend: Spend) -> None:
        self._db.execute(hot.SAVE_SPEND, {"day": spend.day, "amount": spend.amount})

    # ---------------------------------------------------------------------------------------------- purchases

    def begin(self, purchase: Purchase, origin: Origin, limits: Limits) -> Purse:
        """Rule 1: durable before its ceiling is signed. Raises the refusals of `wallet.begin`."""
        purse, spend = self.load_purse(purchase.key), self.load_spend(purchase.day)
        after, spent = wallet.begin(purse, spend, purchase, limits)
        self.save_purse(after)
        self._save_spend(spent)
        self._db.execute(hot.ADD_PURCHASE, purchase_values(purchase, origin))
        return after

    def raise_ceiling(self, key: LaneKey, wanted: Amount, limits: Limits) -> Purse:
        """See `wallet.raise_ceiling`."""
        after = wallet.raise_ceiling(self.load_purse(key), wanted, limits)
        self.save_purse(after)
        return after

    def adopt(self, key: LaneKey, ceiling: Amount, base: Amount) -> Purse:
        """See `wallet.adopt`."""
        after = wallet.adopt(self.load_purse(key), ceiling, base)
        self.save_purse(after)
        return after

    def refuse(self, purchase: Purchase) -> None:
        """The payee refused it before serving."""
        held = self.load_purchase(purchase.key, purchase.request_id)
        if held is None:
            return
        purse, spend = self.load_purse(held.purchase.key), self.load_spend(held.purchase.day)
        after, spent, refused = wallet.refuse(purse, spend, held.purchase)
        self.save_purse(after)
        self._save_spend(spent)
        self._save_state(refused)

    def drop_stale(self, now: Seconds, live: Sequence[Bytes32]) -> list[Bytes32]:
        """Drop open purchases long past their `startBy`, except those with a stream open here."""
        table = tables.purchase
        stale = (table.c.state == PurchaseState.OPEN.value, table.c.start_by <= now - wallet.DROP_AFTER)
        dropped = []
        for row in self._db.execute(select(table).where(*stale)).all():
            if row.request_id not in live:
                after, purchase = wallet.drop(self.load_purse(key_of(row)), purchase_of(row), now)
                self.save_purse(after)
                self._save_state(purchase)
                dropped.append(purchase.request_id)
        return dropped

    def _save_state(self, purchase: Purchase) -> None:
        old = {f"old_{name}": value for name, value in request_values(purchase.key, purchase.request_id).items()}
        self._db.execute(hot.SAVE_STATE, {**old, "state": purchase.state.value})

    def save_seen(self, purchase: Purchase, seen: Delivered) -> None:
        """How much of a cut answer came: what a late receipt will be compared with."""
        table = tables.purchase
        update = table.update().where(*is_request(table, purchase.key, purchase.request_id))
        self._db.execute(update.values(tokens_seen=seen.completion_tokens, hung_up=int(seen.hung_up)))

    def load_purchase(self, key: LaneKey, request_id: Bytes32) -> Held | None:
        """One request by its id, unique within (payer, payee, lane)."""
        row = self._db.execute(hot.PURCHASE, request_values(key, request_id)).first()
        return None if row is None else self._held(row)

    def load_open(self) -> list[Held]:
        """Requests whose outcome is not known yet."""
        query = select(tables.purchase).where(tables.purchase.c.state == PurchaseState.OPEN.value)
        return [self._held(row) for row in self._db.execute(query).all()]

    def find_retried(self, body_hash: Bytes32, retry_key: str, since: Seconds) -> list[Held]:
        """What a retry may mean: purchases of the same body and caller since then, newest first (HTTP binding)."""
        table = tables.purchase
        same = (table.c.body_hash == body_hash, table.c.retry_key == retry_key, table.c.created_at >= since)
        query = select(table).where(*same).order_by(text("rowid DESC")).limit(RETRY_CANDIDATES)
        return [self._held(row) for row in self._db.execute(query).all()]

    def _held(self, row: Row[Any]) -> Held:
        found = self._db.execute(hot.RECEIPT, request_values(key_of(row), row.request_id)).first()
        origin = Origin(row.url, row.path, row.body_hash, row.retry_key, row.created_at)
        held = Held(purchase_of(row), origin, Delivered(row.tokens_seen, hung_up=bool(row.hung_up)))
        if found is None:
            return held
        receipt = message_from_json(Receipt, json.loads(found.message))
        return replace(held, receipt=receipt, signature=Signature(found.signature))

    # ----------------------------------------------------------------------------------------------- receipts

    def book(self, purchase: Purchase, receipt: Receipt, signature: Signature, credit: Amount, now: Seconds) -> Purse:
        """Keep a checked receipt. The same one again changes nothing; another one for the same id is a Problem."""
        held = self.load_purchase(purchase.key, purchase.request_id)
        if held is None:
            raise Problem("unknown_request", "a receipt for a request that this wallet never made")
        if held.receipt is not None:
            if held.receipt != receipt:
                raise Problem("second_receipt", "two different receipts for one request")
            return self._raise_credit(receipt, credit)
        check_neighbours(receipt, *self._neighbours(receipt))
        purse, spend = self.load_purse(receipt.key), self.load_spend(held.purchase.day)
        after, spent, done = wallet.book(purse, spend, held.purchase, receipt, credit)
        after = wallet.hear(after, receipt.cumulative, now)
        self.save_purse(after)
        self._save_spend(spent)
        self._save_state(done)
        self._insert_receipt(receipt, signature, credit, now)
        self._credit_later(receipt, receipt.charge, credit)
        return after

    def keep_answer(self, signed: SignedAnswer) -> None:
        """The executor's checked word beside its receipt, which has been booked; the same one again changes nothing."""
        answer = signed.answer
        values = {
            "payer": answer.payer,
            "payee": answer.executor,
            "lane": answer.lane,
            "request_id": answer.request_id,
            "message": json.dumps(message_to_json(answer)),
            "signature": signed.signature,
        }
        self._db.execute(hot.ADD_ANSWER, values)

    def load_answer(self, key: LaneKey, request_id: Bytes32) -> SignedAnswer | None:
        """What its executor signed, for a purchase from another node."""
        row = self._db.execute(hot.ANSWER, request_values(key, request_id)).first()
        if row is None:
            return None
        return SignedAnswer(message_from_json(Answer, json.loads(row.message)), Signature(row.signature))

    def _raise_credit(self, receipt: Receipt, credit: Amount) -> Purse:
        """A receipt fetched ahead of its stream was booked unverified; now its answer has been recounted."""
        purse, table = self.load_purse(receipt.key), tables.receipt
        row = is_request(table, receipt.key, receipt.request_id)
        gained = credit - int(self._db.execute(select(table.c.credit).where(*row)).scalar_one())
        if gained <= 0:
            return purse
        self._db.execute(table.update().where(*row).values(credit=credit))
        after = wallet.credit_more(purse, Amount(gained))
        self.save_purse(after)
        self._credit_later(receipt, Amount(0), Amount(gained))
        return after

    def _insert_receipt(self, receipt: Receipt, signature: Signature, credit: Amount, now: Seconds) -> None:
        values = {
            **lane_values(receipt.key),
            "request_id": receipt.request_id,
            "seq": receipt.seq,
            "charge": receipt.charge,
            "credit": credit,
            "cumulative": receipt.cumulative,
            "message": json.dumps(message_to_json(receipt)),
            "signature": signature,
            "booked_at": now,
        }
        self._db.execute(hot.ADD_RECEIPT, values)

    def _credit_later(self, receipt: Receipt, charge: Amount, credit: Amount) -> None:
        for row in self._db.execute(hot.LATER_PURSES, lane_values(receipt.key)).all():
            self.save_purse(wallet.credit_later(purse_of(row), charge, credit))

    def _neighbours(self, receipt: Receipt) -> tuple[Receipt | None, Receipt | None]:
        here = {**lane_values(receipt.key), "seq": receipt.seq}
        texts = [self._db.execute(query, here).scalar() for query in (hot.RECEIPT_BEFORE, hot.RECEIPT_AFTER)]
        held = [None if text is None else message_from_json(Receipt, json.loads(text)) for text in texts]
        return held[0], held[1]

    def hear(self, key: LaneKey, total: Amount, now: Seconds) -> Purse:
        """See `wallet.hear`."""
        after = wallet.hear(self.load_purse(key), total, now)
        self.save_purse(after)
        return after

    def last_receipt(self, key: LaneKey) -> tuple[Receipt, Signature] | None:
        """The receipt with the highest `seq` of a lane and generation."""
        table = tables.receipt
        query = select(table.c.message, table.c.signature).where(*is_lane(table, key)).order_by(table.c.seq.desc())
        row = self._db.execute(query.limit(1)).first()
        return None if row is None else (message_from_json(Receipt, json.loads(row.message)), row.signature)

    def missing_since(self, key: LaneKey, now: Seconds) -> int:
        """A `seq` before any receipt that this lane may still miss: from the oldest purchase without one."""
        table = tables.purchase
        since = now - MISSING_SECONDS
        lane = (*is_lane(table, key), table.c.state != PurchaseState.DONE.value, table.c.created_at >= since)
        oldest = self._db.execute(select(func.min(table.c.created_at)).where(*lane)).scalar()
        if oldest is not None:
            return max(0, int(oldest) - CLOCK_SKEW) * 1_000_000
        last = self.last_receipt(key)
        return 0 if last is None else last[0].seq

    # ------------------------------------------------------------------------------------- findings and stops

    def stop(self, key: LaneKey, problem: Problem, evidence: Mapping[str, object], now: Seconds) -> None:
        """Rule 5: sign nothing more to this payee, and keep what proves it."""
        self.note(key, problem, evidence, now)
        values = {"payer": key.payer, "payee": key.payee, "reason": problem.code, "stopped_at": now}
        self._db.execute(insert(tables.stopped).values(**values).on_conflict_do_nothing())

    def note(self, key: LaneKey, problem: Problem, evidence: Mapping[str, object], now: Seconds) -> None:
        """Keep a finding."""
        values = {
            "found_at": now,
            "payer": key.payer,
            "payee": key.payee,
            "code": problem.code,
            "message": problem.message,
            "evidence": json.dumps(evidence),
        }
        self._db.execute(insert(tables.finding).values(**values))

    def resume_payee(self, payee: Address) -> None:
        """The owner decides to pay this payee again; the findings stay."""
        self._db.execute(tables.stopped.delete().where(tables.stopped.c.payee == payee))

    def load_findings(self) -> list[dict[str, object]]:
        """Every finding, oldest first."""
        rows = self._db.execute(select(tables.finding).order_by(tables.finding.c.id)).all()
        return [
            {
                "found_at": row.found_at,
                "payee": hex_of(row.payee),
                "code": row.code,
                "message": row.message,
                "evidence": json.loads(row.evidence),
            }
            for row in rows
        ]
