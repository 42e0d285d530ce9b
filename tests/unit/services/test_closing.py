"""Closing what crashed workers left open."""

from types import SimpleNamespace

import pytest

from node.core.account import Admission, Outcome
from node.core.errors import Broken, KeyNotHere, LedgerUnavailable
from node.core.messages import Receipt
from node.core.types import ZERO32, Amount, Signature, Status, TokenCount
from node.services.closing import Closer
from tests.factories import PAYEE, PAYER, make_admission, make_receipt

pytestmark = pytest.mark.unit


OPERATOR = SimpleNamespace(address=PAYEE, sign=lambda _: Signature(b"\x01" * 65))


class Books:
    """Two abandoned requests, the first in a lane that does not add up."""

    def __init__(self) -> None:
        self.abandoned = [make_admission(request_id=bytes([n]) * 32) for n in (1, 2)]
        self.signed: list[Receipt] = []

    async def load_abandoned(self) -> list[Admission]:
        return self.abandoned

    async def close(self, admission: Admission, *_: object) -> Receipt:
        if admission == self.abandoned[0]:
            raise Broken("the lane holds less than this reservation")
        return make_receipt()

    async def keep_signature(self, receipt: Receipt, _signature: Signature) -> None:
        self.signed.append(receipt)


async def test_close_abandoned__one_lane_is_broken__the_others_are_closed() -> None:
    books = Books()
    domain = SimpleNamespace(digest=lambda struct_hash: struct_hash)
    parts = SimpleNamespace(
        ledger=books,
        market=SimpleNamespace(domain=domain),
        signer=OPERATOR,
        chain=SimpleNamespace(operator_of=lambda _: OPERATOR.address, chain_now=1_000.0),
        clock=SimpleNamespace(now=lambda: 1_000.0),
    )
    await Closer(parts).close_abandoned()  # type: ignore[arg-type]
    assert books.signed == [make_receipt()]


class ThreeCharges(Books):
    """Three charges waiting: the first is broken, the second cannot be written yet, the third can."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = [make_admission(request_id=bytes([n]) * 32) for n in (1, 2, 3)]
        self.written: list[Admission] = []

    async def close(self, admission: Admission, *_: object) -> Receipt:
        if admission == self.waiting[0]:
            raise Broken("the lane holds less than this reservation")
        if admission == self.waiting[1]:
            raise LedgerUnavailable("the disk is full")
        self.written.append(admission)
        return make_receipt()


def closer_over(books: Books) -> Closer:
    parts = SimpleNamespace(
        ledger=books,
        market=SimpleNamespace(domain=SimpleNamespace(digest=lambda struct_hash: struct_hash)),
        signer=OPERATOR,
        chain=SimpleNamespace(operator_of=lambda _: OPERATOR.address, chain_now=1_000.0),
        clock=SimpleNamespace(now=lambda: 1_000.0),
        lease=SimpleNamespace(epoch=1, check=lambda _: None),
    )
    return Closer(parts)  # type: ignore[arg-type]


OUTCOME = Outcome(Status.COMPLETE, TokenCount(1, 1), Amount(1), ZERO32, ZERO32)


async def test_retry_unclosed__one_is_broken_and_one_must_wait__the_third_is_written() -> None:
    books = ThreeCharges()
    closer = closer_over(books)
    closer._unclosed = [(admission, OUTCOME) for admission in books.waiting]
    assert await closer.retry_unclosed() == 1
    assert books.written == [books.waiting[2]]
    assert closer._unclosed == [(books.waiting[1], OUTCOME)]


async def test_retry_unclosed__stopped_by_a_bug__the_others_are_still_waiting() -> None:
    books = ThreeCharges()

    async def fail(*_: object) -> Receipt:
        raise RuntimeError

    books.close = fail  # type: ignore[method-assign]
    closer = closer_over(books)
    closer._unclosed = [(admission, OUTCOME) for admission in books.waiting]
    with pytest.raises(RuntimeError):
        await closer.retry_unclosed()
    assert len(closer._unclosed) == 3


async def test_close_abandoned__of_a_former_operator_key__is_closed_and_not_signed_by_the_new_one() -> None:
    books = ThreeCharges()
    closer = closer_over(books)
    books.abandoned = books.waiting[2:]
    closer._parts.chain.operator_of = lambda _: PAYER  # type: ignore[method-assign]
    assert await closer.close_abandoned() == 1
    assert (books.written, books.signed) == ([books.waiting[2]], [])
    with pytest.raises(KeyNotHere) as refused:
        await closer.sign(make_receipt(generation=3), books.waiting[2])
    assert refused.value.facts == {"operator": "0x" + PAYER.hex(), "generation": 3}


async def test_close__this_machines_clock_jumped_ahead__the_receipt_is_dated_by_the_chain() -> None:
    books = ThreeCharges()
    closer = closer_over(books)
    closer._parts.clock.now = lambda: 1_000.0 + 86_400  # type: ignore[method-assign]
    assert closer._now() == 1_000 * 1_000_000
    closer._parts.clock.now = lambda: 400.0  # type: ignore[method-assign]
    assert closer._now() == 400 * 1_000_000
