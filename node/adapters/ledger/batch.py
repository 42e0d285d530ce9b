"""One group of operations in one transaction: load, fold the core's transitions in order, write the difference.

A refusal is an answer like any other and leaves the rest of the group alone. Nothing here decides about money:
`core.account` does. Committing and answering are the writer's.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from node.adapters.ledger import tables
from node.adapters.ledger.hot import Row, Session
from node.adapters.ledger.memory import Memory
from node.adapters.ledger.operations import Admit, Close, KeepSignature, Operation, Request, Triple
from node.adapters.ledger.rows import Agreements, next_number, receipt_row, voucher_row, write_totals
from node.adapters.ledger.working import (
    AccountRow,
    LaneRow,
    PairRow,
    WorkingSet,
    load_known,
    load_open,
    load_requests,
    load_working_set,
)
from node.core import account
from node.core.account import Admission
from node.core.errors import Broken, WwwserveError
from node.core.messages import Receipt
from node.core.types import LaneKey
from node.ports.ledger import Stored

Answer = Stored | Receipt | WwwserveError | None
Seat = tuple[LaneRow, AccountRow, PairRow]


class Batch:
    """The work of one transaction. Use once: `run`, commit, then `remember`."""

    def __init__(self, session: Session, memory: Memory, kept: WorkingSet | None) -> None:
        self._session = session
        self._memory = memory
        self._kept = kept
        self._set = WorkingSet()
        self._voucher_ids: dict[Request, int] = {}
        self._stored: dict[Request, Stored] = {}
        self._changed: list[tuple[LaneRow, AccountRow]] = []
        self._agreements = Agreements(session, memory.agreements)
        self._seats: dict[tuple[Triple, int], Seat] = {}
        self._fresh: dict[Request, tuple[Admission, Receipt | None]] = {}
        self._admitted: dict[Request, int] = {}
        self._closed: dict[Request, int] = {}
        self._still_open: set[int] = set()
        self._vouchers: list[Row] = []
        self._receipts: list[Row] = []
        self._signatures: list[Row] = []

    def run(self, operations: Sequence[Operation]) -> list[Answer]:
        """Load, fold and write. The answers hold only once the transaction has committed."""
        self._load(operations)
        folds = self._FOLDS
        answers = [folds[type(operation)](self, operation) for operation in operations]
        self._write()
        return answers

    @property
    def closed(self) -> list[Receipt]:
        """The receipts that this batch has written."""
        found = (self._fresh[request][1] for request in self._closed)
        return [receipt for receipt in found if receipt is not None]

    def remember(self) -> None:
        """After the commit."""
        for _, found in self._changed:
            found.is_new = found.is_changed = False
        self._memory.learn(self._admitted, self._closed, self._agreements.made)
        self._memory.working = self._set

    def _load(self, operations: Sequence[Operation]) -> None:
        admits = [one.request for one in operations if isinstance(one, Admit)]
        closes = [one.request for one in operations if isinstance(one, Close)]
        wanted = {lane for lane, _ in [*admits, *closes]}
        self._set = load_working_set(self._session, self._kept, wanted)
        remembered = self._memory.open
        unknown = [*admits, *(one for one in closes if one not in remembered)]
        ids = self._voucher_ids = load_requests(self._session, self._set, unknown)
        repeated = list(ids)
        for request in closes:
            if request in remembered:
                ids[request] = remembered[request]
        asked = [ids[request] for request in closes if request in ids]
        # A writer that has kept its working set knows that nobody else has closed what it remembers as open.
        is_sure = self._set is self._kept and len(asked) == len(closes) and remembered.keys() >= set(closes)
        self._still_open = set(asked) if is_sure else load_open(self._session, asked)
        repeated += [request for request in closes if request in ids and ids[request] not in self._still_open]
        self._stored = load_known(self._session, {ids[request]: request for request in repeated})

    def _admit(self, operation: Admit) -> Answer:
        admission, request = operation.admission, operation.request
        known = self._known(request)
        if known is not None:
            is_own = operation.is_repeat and known == Stored(admission)
            return None if is_own else known
        try:
            lane, found, pair = self._seat_of(admission.key, request[0])
            before = found.state
            found.state, pair.state = account.admit(before, pair.state, admission)
        except WwwserveError as exc:
            return exc
        voucher_id = next_number(self._session, self._memory.numbers, admission.lease)
        if found.state.best > before.best or found.best_voucher_id is None:
            found.best_voucher_id = voucher_id
        if not found.is_changed:
            self._keep(lane, found)
        self._vouchers.append(voucher_row(self._session, voucher_id, lane, admission, self._agreements))
        self._admitted[request] = voucher_id
        self._fresh[request] = (admission, None)
        return None

    def _known(self, request: Request) -> Stored | None:
        """What this batch or the books know of a request."""
        fresh = self._fresh.get(request)
        return self._stored.get(request) if fresh is None else Stored(*fresh)

    def _seat_of(self, key: LaneKey, triple: Triple) -> Seat:
        """Lane, account and pair, checked once a batch. Raises the refusals of WorkingSet."""
        seat = self._seats.get((triple, key.generation))
        if seat is None:
            lane, found = self._set.account_of(key)
            seat = self._seats[triple, key.generation] = (lane, found, self._set.pair_of(key))
        return seat

    def _keep(self, lane: LaneRow, found: AccountRow) -> None:
        """The first change of an account in this batch: it will be written, and a new lane needs its id now."""
        found.is_changed = True
        self._changed.append((lane, found))
        self._set.lanes[lane.key] = lane
        lane.accounts[found.state.key.generation] = found
        if lane.id is None:
            words = self._session.words
            lane.id = self._session.rows(words.lane, (*lane.key, words.amount(lane.claimed)))[0][0]

    def _close(self, operation: Close) -> Answer:
        admission, request = operation.admission, operation.request
        known = self._known(request)
        if known is not None and known.receipt is not None:
            self._memory.open.pop(request, None)  # another worker closed it
            return known.receipt
        voucher_id = self._voucher_ids.get(request)
        try:
            if voucher_id is None or voucher_id not in self._still_open:
                raise Broken("a request that was never admitted cannot be closed", request_id="0x" + request[1].hex())
            lane = self._set.lanes[request[0]]
            found, pair = lane.accounts[admission.key.generation], self._set.pair_of(admission.key)
            closed = account.close(found.state, pair.state, admission, operation.outcome, operation.now)
        except WwwserveError as exc:
            return exc
        found.state, pair.state, receipt = closed
        if not found.is_changed:
            self._keep(lane, found)
        self._closed[request] = voucher_id
        self._fresh[request] = (admission, receipt)
        self._receipts.append(receipt_row(self._session, voucher_id, lane, found, receipt))
        return receipt

    def _sign(self, operation: KeepSignature) -> None:
        receipt = operation.receipt
        request = ((receipt.payer, receipt.payee, receipt.lane), receipt.request_id)
        voucher_id = self._memory.unsigned.pop(request, None) or self._find_receipt(request)
        if voucher_id is not None:
            self._signatures.append((voucher_id, bytearray(operation.signature)))

    def _find_receipt(self, request: Request) -> int | None:
        """A closed request of another process or an earlier life."""
        text = (
            "SELECT receipt.voucher_id FROM {wanted} lane JOIN voucher ON voucher.lane_id = lane.id "
            "JOIN receipt ON receipt.voucher_id = voucher.id"
        )
        columns = "lane.payer lane.payee lane.lane voucher.request_id"
        rows = self._session.wanted(text, columns, [(*request[0], request[1])])
        return int(rows[0][0]) if rows else None

    def _write(self) -> None:
        """Parents before children: accounts, then vouchers, then what points at vouchers."""
        session = self._session
        write_totals(session, self._changed, self._set.pairs)
        session.insert(tables.voucher, self._vouchers)
        session.insert(tables.reservation, [row[:1] for row in self._vouchers])
        session.insert(tables.receipt, self._receipts)
        session.release([row[0] for row in self._receipts])
        session.insert(tables.receipt_signature, self._signatures)

    _FOLDS: ClassVar[dict[type, Callable[[Any, Any], Any]]] = {Admit: _admit, Close: _close, KeepSignature: _sign}
