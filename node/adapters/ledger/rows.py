"""Rows of the hot path as the drivers take them, and the totals' write.

One place that knows the order of the columns. Bytes go as `bytearray`: of each `bytes` Python's sqlite3 looks for an
adapter, raising and catching an error inside, which costs more than all else it does for the value.
"""

from collections.abc import Mapping, Sequence

from node.adapters.ledger import tables
from node.adapters.ledger.hot import Row, Session
from node.adapters.ledger.working import AccountRow, LaneRow, PairRow
from node.core.account import Admission
from node.core.messages import Receipt, Terms
from node.core.types import Address

LEASE_SHIFT = 40
"""voucher.id = lease << 40 | number: a million million requests in a worker's life."""


class Agreements:
    """The ids of agreements, found or made in this batch; `made` may be remembered after its commit."""

    def __init__(self, session: Session, remembered: dict[Row, int]) -> None:
        self._session = session
        self._remembered = remembered
        self.made: dict[Row, int] = {}

    def id_of(self, terms: Terms) -> int:
        """What the Terms have in common with others of the same offer and model."""
        hashes = (terms.offer_hash, terms.model, terms.tokenizer, terms.template)
        key = (*hashes, terms.price_prompt, terms.price_completion)
        found = self._remembered.get(key) or self.made.get(key)
        if found is None:
            amount = self._session.words.amount
            found = self.made[key] = self._add(
                (*hashes, amount(terms.price_prompt), amount(terms.price_completion)),
            )
        return found

    def _add(self, row: Row) -> int:
        session = self._session
        found = session.rows(session.words.find_agreement, row)
        if not found:
            session.run(session.words.agreement, row)
            found = session.rows(session.words.find_agreement, row)
        return int(found[0][0])


def next_number(session: Session, numbers: dict[int, int], lease: int) -> int:
    """The next voucher id under a lease; `numbers` holds the last ones. Numbers of undone batches are skipped."""
    number = numbers.get(lease)
    if number is None:
        first = lease << LEASE_SHIFT
        last = session.rows(session.words.last_voucher, (first, first + (1 << LEASE_SHIFT) - 1))[0][0]
        number = last or first
    number += 1
    numbers[lease] = number
    return number


def voucher_row(session: Session, voucher_id: int, lane: LaneRow, admission: Admission, agreed: Agreements) -> Row:
    """In the order of tables.voucher."""
    amount = session.words.amount
    voucher, terms = admission.voucher, admission.terms
    return (
        voucher_id,
        lane.id,
        voucher.generation,
        bytearray(terms.request_id),
        amount(voucher.ceiling),
        bytearray(voucher.context),
        bytearray(admission.signature),
        bytearray(terms.request_hash),
        agreed.id_of(terms),
        amount(terms.max_price),
        terms.start_by,
        terms.mode,
        terms.flags,
        terms.hops,
        bytearray(terms.origin_hash),
        bytearray(admission.salt),
        admission.received_at,
        admission.lease,
    )


def receipt_row(session: Session, voucher_id: int, lane: LaneRow, found: AccountRow, receipt: Receipt) -> Row:
    """In the order of tables.receipt."""
    amount = session.words.amount
    return (
        voucher_id,
        lane.id,
        receipt.generation,
        receipt.seq,
        found.state.count - 1,
        bytearray(receipt.response_hash),
        bytearray(receipt.answer_hash),
        receipt.prompt_tokens,
        receipt.completion_tokens,
        int(receipt.status),
        amount(receipt.charge),
        amount(receipt.cumulative),
    )


def write_totals(
    session: Session,
    changed: Sequence[tuple[LaneRow, AccountRow]],
    pairs: Mapping[tuple[Address, Address], PairRow],
) -> None:
    """Accounts that this batch has changed, and their pairs."""
    amount = session.words.amount
    accounts: list[Row] = []
    for lane, row in changed:
        state = row.state
        totals = (amount(state.base), amount(state.charged), amount(state.reserved), amount(state.best))
        counted = (row.best_voucher_id, state.seq, state.count, int(state.is_frozen))
        accounts.append((lane.id, state.key.generation, *totals, *counted))
    session.insert(tables.account, accounts)
    touched = {lane.key[:2]: pairs[lane.key[:2]].state for lane, _ in changed}
    none = amount(0)
    rows = [(p.payer, p.payee, amount(p.cover), amount(p.committed), none, 0) for p in touched.values()]
    session.insert(tables.pair, rows)
