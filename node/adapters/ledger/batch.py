"""One group of operations in one transaction: load, fold the core's transitions in order, write the difference.

A refusal is an answer like any other and leaves the rest of the group alone. Nothing here decides about money: `core.account`
does. Committing and answering are the writer's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.adapters.ledger.working import (
    AccountRow,
    WorkingSet,
    LaneRow,
    PairRow,
    Request,
    load_working_set,
    load_known,
    load_open,
    load_requests,
)
from node.adapters.ledger.hot import Row, Session
from node.adapters.ledger.operations import Admit, Close, KeepSignature, Operation
from node.core import account
from node.core.account import Admission
from node.core.errors import Broken, WwwserveError
from node.core.messages import Receipt
from node.ports import Stored

Answer = Stored | Receipt | WwwserveError | None
LEASE_SHIFT = 40
"""voucher.id = lease << 40 | number: a million million requests in a worker's life."""


@dataclass(slots=True)
class Memory:
    """What a writer remembers between batches; changed only after a commit. A cache: the database is the truth."""

    open: dict[Request, int] = field(default_factory=dict)
    """Voucher ids of requests this process admitted and has not closed."""
    unsigned: dict[Request, int] = field(default_factory=dict)
    """Voucher ids of closed requests whose signature has not come yet."""
    agreements: dict[Row, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    """The last voucher number used under a lease."""

    def trim(self, limit: int = 200_000) -> None:
        """A signature that never comes must not fill the memory."""
        while len(self.unsigned) > limit:
            del self.unsigned[next(iter(self.unsigned))]


def request_of(admission: Admission) -> Request:
    """The id under which a lane knows a request."""
    key = admission.key
    return (key.payer, key.payee, key.lane, admission.terms.request_id)


@dataclass(slots=True)
class _Admitted:
    lane: LaneRow
    admission: Admission
    voucher_id: int


class Batch:
    """The work of one transaction. Use once: `run`, commit, then `remember`."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._books = WorkingSet()
        self._open: set[int] = set()
        self._admitted: dict[Request, _Admitted] = {}
        self._closed: dict[Request, tuple[int, Receipt]] = {}
        self._receipts: list[Row] = []
        self._signatures: list[Row] = []
        self._agreements = dict[Row, int]()

    def run(self, operations: Sequence[Operation]) -> list[Answer]:
        """Load, fold and write. The answers hold only once the transaction has committed."""
        self._load(operations)
        answers = [self._answer(operation) for operation in operations]
        self._write()
        return answers

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, so that there is nothing to commit."""
        return not (self._admitted or self._closed or self._signatures)

    def remember(self) -> None:
        """After the commit: what later batches may count on."""
        memory = self._memory
        memory.agreements.update(self._agreements)
        for request, admitted in self._admitted.items():
            memory.open[request] = admitted.voucher_id
        for request, (voucher_id, _) in self._closed.items():
            memory.open.pop(request, None)
            memory.unsigned[request] = voucher_id
        memory.trim()

    def _load(self, operations: Sequence[Operation]) -> None:
        asked = [operation for operation in operations if not isinstance(operation, KeepSignature)]
        self._books = load_working_set(self._session, (operation.admission.key for operation in asked))
        admits = [request_of(operation.admission) for operation in asked if isinstance(operation, Admit)]
        closes = [request_of(operation.admission) for operation in asked if isinstance(operation, Close)]
        remembered = self._memory.open
        load_requests(self._session, self._books, [*admits, *(one for one in closes if one not in remembered)])
        for request in closes:
            if request in remembered:
                self._books.voucher_ids[request] = remembered[request]
        ids = self._books.voucher_ids
        self._open = load_open(self._session, [ids[request] for request in closes if request in ids])
        repeated = [request for request in closes if ids.get(request) not in self._open]
        load_known(self._session, self._books, [*admits, *repeated])

    def _answer(self, operation: Operation) -> Answer:
        try:
            match operation:
                case Admit():
                    return self._admit(operation)
                case Close():
                    return self._close(operation)
                case KeepSignature():
                    self._keep(operation)
        except WwwserveError as exc:
            return exc
        return None

    def _admit(self, operation: Admit) -> Answer:
        admission = operation.admission
        request = request_of(admission)
        known = self._books.known.get(request)
        if known is not None:
            is_own = operation.is_repeat and known == Stored(admission)
            return None if is_own else known
        lane, found = self._books.account_of(admission.key)
        pair = self._books.pair_of(admission.key)
        before = found.state
        found.state, pair.state = account.admit(before, pair.state, admission)
        voucher_id = self._next_id(admission.lease)
        if found.state.best > before.best or found.best_voucher_id is None:
            found.best_voucher_id = voucher_id
        found.is_changed = pair.is_changed = True
        lane.accounts[admission.key.generation] = found
        self._books.lanes[lane.key] = lane
        self._books.known[request] = Stored(admission)
        self._books.voucher_ids[request] = voucher_id
        self._open.add(voucher_id)
        self._admitted[request] = _Admitted(lane, admission, voucher_id)
        return None

    def _next_id(self, lease: int) -> int:
        numbers = self._memory.numbers
        if lease not in numbers:
            first = lease << LEASE_SHIFT
            last = self._session.rows(self._session.words.last_voucher, (first, first + (1 << LEASE_SHIFT) - 1))[0][0]
            numbers[lease] = last - first if last else 0
        numbers[lease] += 1
        return lease << LEASE_SHIFT | numbers[lease]

    def _close(self, operation: Close) -> Answer:
        admission = operation.admission
        request = request_of(admission)
        voucher_id = self._books.voucher_ids.get(request)
        if voucher_id is None:
            raise Broken("a request that was never admitted cannot be closed", request_id="0x" + request[3].hex())
        if voucher_id not in self._open:
            return self._books.known[request].receipt
        lane = self._books.lanes[request[:3]]
        found, pair = lane.accounts[admission.key.generation], self._books.pair_of(admission.key)
        closed = account.close(found.state, pair.state, admission, operation.outcome, operation.now)
        found.state, pair.state, receipt = closed
        found.is_changed = pair.is_changed = True
        self._open.discard(voucher_id)
        self._books.known[request] = Stored(admission, receipt)
        self._closed[request] = (voucher_id, receipt)
        self._receipts.append(self._receipt_row(voucher_id, lane, found, receipt))
        return receipt

    def _receipt_row(self, voucher_id: int, lane: LaneRow, found: AccountRow, receipt: Receipt) -> Row:
        amount = self._session.words.amount
        return (
            voucher_id,
            lane.id,
            receipt.generation,
            receipt.seq,
            found.state.count - 1,
            receipt.response_hash,
            receipt.answer_hash,
            receipt.prompt_tokens,
            receipt.completion_tokens,
            int(receipt.status),
            amount(receipt.charge),
            amount(receipt.cumulative),
        )

    def _keep(self, operation: KeepSignature) -> None:
        receipt = operation.receipt
        request = (receipt.payer, receipt.payee, receipt.lane, receipt.request_id)
        voucher_id = self._memory.unsigned.pop(request, None) or self._find_receipt(request)
        if voucher_id is not None:
            self._signatures.append((voucher_id, operation.signature))

    def _find_receipt(self, request: Request) -> int | None:
        """A closed request of another process or an earlier life."""
        text = (
            "SELECT receipt.voucher_id FROM {wanted} lane JOIN voucher ON voucher.lane_id = lane.id "
            "JOIN receipt ON receipt.voucher_id = voucher.id"
        )
        columns = "lane.payer lane.payee lane.lane voucher.request_id"
        rows = self._session.wanted(text, columns, [request])
        return rows[0][0] if rows else None

    def _write(self) -> None:
        session, words = self._session, self._session.words
        self._write_accounts()
        admitted = [self._voucher_row(entry) for entry in self._admitted.values()]
        session.many(words.voucher, admitted)
        session.many(words.reservation, [(row[0], row[-1]) for row in admitted])
        session.many(words.receipt, self._receipts)
        session.many(words.release, [(row[0],) for row in self._receipts])
        session.many(words.signature, self._signatures)
        pairs = [row for row in self._books.pairs.values() if row.is_changed]
        session.many(words.committed, [self._pair_row(row) for row in pairs])

    def _pair_row(self, row: PairRow) -> Row:
        return (self._session.words.amount(row.state.committed), row.state.payer, row.state.payee)

    def _write_accounts(self) -> None:
        session, amount = self._session, self._session.words.amount
        inserted, updated = [], []
        for lane in self._books.lanes.values():
            for row in lane.accounts.values():
                if not row.is_changed:
                    continue
                if lane.id is None:
                    lane.id = session.rows(session.words.lane, (*lane.key, amount(lane.claimed)))[0][0]
                state, key = row.state, (lane.id, row.state.key.generation)
                totals = (amount(state.charged), amount(state.reserved), amount(state.best), row.best_voucher_id)
                if row.is_new:
                    inserted.append((*key, amount(state.base), *totals, state.seq, state.count, int(state.is_frozen)))
                else:
                    updated.append((*totals, state.seq, state.count, *key))
        session.many(session.words.account, inserted)
        session.many(session.words.totals, updated)

    def _voucher_row(self, entry: _Admitted) -> Row:
        admission, amount = entry.admission, self._session.words.amount
        voucher, terms = admission.voucher, admission.terms
        return (
            entry.voucher_id,
            entry.lane.id,
            voucher.generation,
            terms.request_id,
            amount(voucher.ceiling),
            voucher.context,
            admission.signature,
            terms.request_hash,
            self._agreement(admission),
            amount(terms.max_price),
            terms.start_by,
            terms.mode,
            terms.flags,
            terms.hops,
            terms.origin_hash,
            admission.salt,
            admission.received_at,
            admission.lease,
        )

    def _agreement(self, admission: Admission) -> int:
        terms = admission.terms
        hashes = (terms.offer_hash, terms.model, terms.tokenizer, terms.template)
        key = (*hashes, terms.price_prompt, terms.price_completion)
        found = self._memory.agreements.get(key) or self._agreements.get(key)
        if found is None:
            amount = self._session.words.amount
            found = self._add_agreement((*hashes, amount(terms.price_prompt), amount(terms.price_completion)))
            self._agreements[key] = found
        return found

    def _add_agreement(self, row: Row) -> int:
        session = self._session
        found = session.rows(session.words.find_agreement, row)
        if not found:
            session.run(session.words.agreement, row)
            found = session.rows(session.words.find_agreement, row)
        return int(found[0][0])
