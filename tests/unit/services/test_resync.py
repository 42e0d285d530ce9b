"""Who may reopen a lane, from where it goes on, and what is put back: each refusal by itself."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.adapters.keys import LocalSigner, Secret, recover
from node.core.account import Admission, LaneState
from node.core.errors import BadVoucher, BooksStale, StaleGeneration, WrongSignature
from node.core.folds import PayeeView
from node.core.messages import Claim, Voucher
from node.core.recovery import LaneNote
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.core.voucher import Standing
from node.ports.ledger import Stored
from node.ports.tower import TowerClaim
from node.services.resync import Resync, ResyncAsk
from node.services.x402 import SignedReceipt
from tests.factories import DOMAIN, PAYEE, make_receipt, make_terms

OPERATOR, LANE, STRANGER = (LocalSigner(Secret(bytes([number]) * 32)) for number in (5, 6, 7))
OWNER = LANE.address
OLD, NEW = LaneKey(OWNER, PAYEE, OWNER, 1), LaneKey(OWNER, PAYEE, OWNER, 2)


@dataclass
class FakeBook:
    """Books that know nothing of generation 1 beyond what they are given."""

    present: LaneState | None = None
    put_back: list[tuple[LaneKey, int]] = field(default_factory=list)

    async def reopen_lane(self, key: LaneKey, base: Amount) -> LaneState:
        return LaneState(key, base=base, charged=base)

    async def restore_receipts(self, key: LaneKey, found: list[Stored], _now: Seconds) -> int:
        self.put_back.append((key, len(found)))
        return len(found)

    async def load_settled(self, _key: LaneKey) -> list[Any]:
        return []

    async def load_lane(self, _key: LaneKey) -> LaneState | None:
        return self.present


@dataclass
class FakeRecovery:
    suspended: list[str] = field(default_factory=list)
    serving: Any = field(default_factory=lambda: SimpleNamespace(suspended=""))

    async def suspend(self, _generation: int, reasons: list[str]) -> None:
        self.suspended += reasons


class FakeTower:
    name = "http://tower"

    def __init__(self, cumulative: int, by: LocalSigner = OPERATOR) -> None:
        claim = Claim(OWNER, PAYEE, OWNER, 1, Micros(5), Amount(cumulative), Bytes32(b"\x01" * 32), 1)
        self._held = TowerClaim(claim, by.sign(DOMAIN.digest(claim.struct_hash())))

    async def push(self, _claims: object) -> None:
        raise NotImplementedError

    async def load_claims(self, _payee: Address) -> list[TowerClaim]:
        return [self._held]


def make(book: FakeBook | None = None, *, signer_payer: Address = OWNER, towers: tuple[FakeTower, ...] = ()) -> Any:
    view = PayeeView(2, OPERATOR.address, 2, {1: OPERATOR.address, 2: OPERATOR.address})

    async def standing(_payer: Address, _lane: Address) -> Standing:
        return Standing(PAYEE, 2, signer_payer, Amount(1_000))

    books = book or FakeBook()
    return Resync(
        ledger=books,  # type: ignore[arg-type]
        book=books,  # type: ignore[arg-type]
        settlements=SimpleNamespace(),  # type: ignore[arg-type]
        chain=SimpleNamespace(standing=standing, payee_view=view),  # type: ignore[arg-type]
        recovery=FakeRecovery(),  # type: ignore[arg-type]
        signer=OPERATOR,
        recover=recover,
        clock=SimpleNamespace(now=lambda: 1.0),  # type: ignore[arg-type]
        domain=DOMAIN,
        towers=towers,
    )


def receipt(generation: int = 1, cumulative: int = 70, by: LocalSigner = OPERATOR) -> SignedReceipt:
    made = make_receipt(payer=OWNER, lane=OWNER, generation=generation, cumulative=Amount(cumulative))
    return SignedReceipt(made, by.sign(DOMAIN.digest(made.struct_hash())))


def ask(last: SignedReceipt | None = None, *, by: LocalSigner = LANE, **changes: Any) -> ResyncAsk:
    shown = last.receipt.struct_hash() if last else ZERO32
    note = replace(LaneNote(OWNER, PAYEE, OWNER, 2, shown), **changes)
    return ResyncAsk(note, by.sign(DOMAIN.digest(note.struct_hash())), last)


def stored(made: SignedReceipt, **voucher_changes: Any) -> Stored:
    terms = make_terms()
    voucher = replace(Voucher(OWNER, PAYEE, 1, Amount(100), terms.struct_hash()), **voucher_changes)
    signature = LANE.sign(DOMAIN.digest(voucher.struct_hash()))
    admission = Admission(OLD, voucher, signature, terms, ZERO32, Seconds(1), 0)
    return Stored(admission, made.receipt, made.signature)


async def test_reopen__signed_none__begins_at_zero() -> None:
    assert await make().reopen(ask()) == LaneState(NEW)


async def test_reopen__last_receipt__begins_at_its_total() -> None:
    assert (await make().reopen(ask(receipt()))).base == 70


@pytest.mark.parametrize(("tower", "base"), [(FakeTower(90), 90), (FakeTower(50), 70), (FakeTower(90, STRANGER), 70)])
async def test_reopen__tower_holds_a_claim__the_higher_that_we_signed_counts(tower: FakeTower, base: int) -> None:
    assert (await make(towers=(tower,)).reopen(ask(receipt()))).base == base


async def test_reopen__old_public_receipt_shown_by_a_stranger__is_refused() -> None:
    with pytest.raises(WrongSignature, match="lane"):
        await make().reopen(ask(receipt(cumulative=1), by=STRANGER))


async def test_reopen__receipt_swapped_under_the_note__is_refused() -> None:
    honest = ask(receipt(cumulative=70))
    with pytest.raises(BadVoucher):
        await make().reopen(replace(honest, last=receipt(cumulative=1)))
    with pytest.raises(BadVoucher):
        await make().reopen(replace(honest, last=None))


async def test_reopen__receipt_that_we_never_signed__is_refused() -> None:
    with pytest.raises(WrongSignature, match="never signed"):
        await make().reopen(ask(receipt(by=STRANGER)))


async def test_reopen__receipt_of_another_lane__is_refused() -> None:
    made = make_receipt(payer=OWNER, lane=STRANGER.address, generation=1)
    other = SignedReceipt(made, OPERATOR.sign(DOMAIN.digest(made.struct_hash())))
    with pytest.raises(BadVoucher, match="another lane"):
        await make().reopen(ask(other))


async def test_reopen__signer_that_is_not_the_payers__is_refused() -> None:
    with pytest.raises(WrongSignature, match="no live signer"):
        await make(signer_payer=STRANGER.address).reopen(ask())


async def test_reopen__closed_generation_or_stale_books__is_refused() -> None:
    with pytest.raises(StaleGeneration):
        await make().reopen(ask(generation=1))
    resync = make()
    resync.recovery.serving.suspended = "stale"
    with pytest.raises(StaleGeneration):
        await resync.reopen(ask())


async def test_reopen__receipt_of_this_generation_newer_than_the_books__suspends_and_opens_nothing() -> None:
    newer = receipt(generation=2)
    for present in (None, LaneState(NEW, seq=Micros(newer.receipt.seq - 1))):
        resync = make(FakeBook(present))
        with pytest.raises(BooksStale, match=r"recover\.py"):
            await resync.reopen(ask(newer))
        assert resync.recovery.suspended == ["a client holds a receipt that is newer than the books"]


async def test_reopen__receipt_of_this_generation_that_the_books_know__changes_nothing() -> None:
    last = receipt(generation=2)
    present = LaneState(NEW, charged=Amount(70), seq=last.receipt.seq)
    assert await make(FakeBook(present)).reopen(ask(last)) == present


async def test_reopen__lost_receipts__are_put_back_before_the_lane_opens() -> None:
    book, last = FakeBook(), receipt()
    found = replace(ask(last), found=[stored(last)], has_more=True)
    assert not (await make(book).reopen(found)).base
    assert book.put_back == [(OLD, 1)]
    assert (await make(book).reopen(replace(found, has_more=False))).base == 70


@pytest.mark.parametrize("change", [{"generation": 2}, {"context": ZERO32}, {"payer": STRANGER.address}])
async def test_reopen__lost_receipt_with_a_foreign_voucher__is_refused(change: dict[str, Any]) -> None:
    book, last = FakeBook(), receipt()
    with pytest.raises(BadVoucher):
        await make(book).reopen(replace(ask(last), found=[stored(last, **change)]))
    assert book.put_back == []


async def test_reopen__lost_receipt_unsigned_open_or_of_this_generation__is_refused() -> None:
    last = receipt()
    good = stored(last)
    forged = Signature(STRANGER.sign(DOMAIN.digest(good.admission.voucher.struct_hash())))
    for bad in (replace(good, signature=None), replace(good, receipt=None)):
        with pytest.raises(BadVoucher):
            await make().reopen(replace(ask(last), found=[bad]))
    foreign = replace(good, admission=replace(good.admission, signature=forged))
    with pytest.raises(WrongSignature):
        await make().reopen(replace(ask(last), found=[foreign]))
    with pytest.raises(BadVoucher):
        await make().reopen(replace(ask(last), found=[stored(receipt(generation=2))]))
