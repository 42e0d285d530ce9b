"""The small parts of the serve path: patience, engines' order, lease, chain view, quotes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from node.core.errors import (
    ChainUnavailable,
    LedgerUnavailable,
    NotFound,
    Overloaded,
    PromptTooLong,
    UnknownModel,
)
from node.core.facts import Block, Cursor
from node.core.folds import PayeeView
from node.core.hashing import keccak
from node.core.prompt import CHAT
from node.core.types import Address, Amount, Bytes32, Seconds
from node.core.voucher import START_BY_HORIZON, Standing
from node.services.backends import FAILED_SECONDS, Backend, Backends
from node.services.chain_view import ChainView
from node.services.lease import Lease
from node.services.offers import OfferBook, SignedOffer
from node.services.patience import Patience
from node.services.quoting import quote_for, quote_unpaid
from node.services.request import parse_request
from tests.factories import PAYEE, PAYER, make_model, make_offer

REQUEST = parse_request(CHAT, b'{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}],"max_tokens":40}')


@dataclass
class FakeClock:
    at: float = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_patience__limit_reached__refuses_until_the_window_ends() -> None:
    patience = Patience(2, 60)
    for _ in range(2):
        patience.check(PAYER, 0)
        patience.note(PAYER, 0)
    with pytest.raises(Overloaded) as refused:
        patience.check(PAYER, 10)
    assert refused.value.facts["retry_after"] == 51
    patience.check(Address(b"\x02" * 20), 10)
    patience.check(PAYER, 61)


def test_patience__new_window__starts_at_one() -> None:
    patience = Patience(2, 60)
    patience.note(PAYER, 0)
    patience.note(PAYER, 100)
    patience.check(PAYER, 100)


def test_patience__requests_of_another_node__has_ten_times_as_much() -> None:
    patience = Patience(2, 60)
    for _ in range(19):
        patience.note(PAYER, 0)
    patience.check(PAYER, 0, hops=1)
    patience.note(PAYER, 0)
    for hops in (0, 1, 2):
        with pytest.raises(Overloaded):
            patience.check(PAYER, 0, hops)


def test_backends__least_busy_first__failed_last() -> None:
    clock = FakeClock()
    busy, idle, failed = (Backend(engine=None, model="m", in_flight=n) for n in (5, 1, 0))  # type: ignore[arg-type]
    backends = Backends({"m": [busy, idle, failed]}, clock)
    assert backends.in_order("m")[0] is failed
    backends.note_failure(failed)
    assert [one.in_flight for one in backends.in_order("m")] == [1, 5, 0]
    clock.at += FAILED_SECONDS
    assert backends.in_order("m")[0] is failed


def test_backends__model_nobody_serves__is_unknown() -> None:
    with pytest.raises(UnknownModel):
        Backends({"m": []}, FakeClock()).in_order("m")


@dataclass
class LeaseLedger:
    """The two lease methods of ports.Ledger."""

    is_live: bool = True
    taken: list[int] = field(default_factory=list)

    async def take_lease(self, _seconds: Seconds) -> int:
        self.taken.append(len(self.taken) + 1)
        return self.taken[-1]

    async def renew_lease(self, _lease: int, _seconds: Seconds) -> bool:
        return self.is_live


async def test_lease__renewed_in_time__keeps_its_epoch() -> None:
    lease = Lease(LeaseLedger())  # type: ignore[arg-type]
    await lease.take()
    await lease.renew()
    lease.check(1)


async def test_lease__expired__takes_a_new_one_and_disowns_the_old() -> None:
    ledger = LeaseLedger()
    lease = Lease(ledger)  # type: ignore[arg-type]
    await lease.take()
    ledger.is_live = False
    await lease.renew()
    lease.check(2)
    with pytest.raises(LedgerUnavailable):
        lease.check(1)


@dataclass
class Book:
    """What ChainView reads."""

    cursor: Cursor | None = None
    loads: int = 0

    async def load_payee(self, _payee: Address) -> PayeeView:
        return PayeeView(3)

    async def load_cursor(self) -> Cursor | None:
        return self.cursor

    async def load_standing(self, payee: Address, payer: Address, _signer: Address) -> Standing:
        self.loads += 1
        return Standing(payee, 3, payer, Amount(9))


def cursor_at(timestamp: int) -> Cursor:
    return Cursor(Block(7, Bytes32(b"\x07" * 32), Bytes32(b"\x06" * 32), Seconds(timestamp)), 5)


async def test_chain_view__within_its_age__asks_the_book_once_a_lane() -> None:
    clock, book = FakeClock(), Book(cursor_at(990))
    view = ChainView(book, clock, PAYEE)  # type: ignore[arg-type]
    for _ in range(5):
        assert (await view.standing(PAYER, PAYER)).cover == 9
    assert book.loads == 1
    clock.at += 1.5
    await view.standing(PAYER, PAYER)
    assert book.loads == 2


async def test_chain_view__head_too_old_or_unknown__sells_nothing() -> None:
    clock, book = FakeClock(), Book()
    view = ChainView(book, clock, PAYEE, max_head_age_seconds=100)  # type: ignore[arg-type]
    with pytest.raises(ChainUnavailable):
        await view.standing(PAYER, PAYER)
    book.cursor = cursor_at(850)
    clock.at += 2
    with pytest.raises(ChainUnavailable) as refused:
        await view.standing(PAYER, PAYER)
    assert refused.value.facts["head_age_seconds"] == 152


async def test_chain_view__chain_now__is_the_heads_time_and_what_has_passed_since_it_was_seen() -> None:
    clock, book = FakeClock(), Book()
    view = ChainView(book, clock, PAYEE)  # type: ignore[arg-type]
    await view.refresh()
    assert view.chain_now == clock.now()
    book.cursor = cursor_at(850)
    await view.refresh()
    clock.at += 2
    await view.refresh()  # the same head: its age goes on
    assert view.chain_now == 852
    book.cursor = cursor_at(860)
    await view.refresh()
    assert view.chain_now == 860


def test_quote__clamps_to_request_offer_and_context() -> None:
    model = make_model(context_length=100, max_completion=30)
    assert quote_for(REQUEST, model, 10).completion_limit == 30
    assert quote_for(REQUEST, model, 80).completion_limit == 20
    assert quote_for(replace(REQUEST, max_tokens=4), model, 80).completion_limit == 4
    assert quote_for(replace(REQUEST, max_tokens=None), model, 10).completion_limit == 30


def test_quote__price__is_the_whole_limit_rounded_up_once() -> None:
    model = make_model(price_prompt=Amount(100_000), price_completion=Amount(300_000))
    assert quote_for(REQUEST, model, 3).price == 13  # 0.3 + 12.0


def test_quote__prompt_fills_the_context__is_too_long() -> None:
    with pytest.raises(PromptTooLong):
        quote_for(REQUEST, make_model(context_length=100), 100)


class NoCounter:
    """A counter that must not be asked."""

    def count_prompt(self, _body: Mapping[str, object]) -> int:
        raise AssertionError("counted an unpaid long prompt")


def test_quote_unpaid__long_body__is_bounded_by_bytes_without_counting() -> None:
    model = make_model(context_length=1_000_000)
    offer = make_offer(models=(model,))
    long = replace(REQUEST, body=b"x" * 50_000)
    counters = {(model.tokenizer, model.template): NoCounter()}
    quote = asyncio.run(quote_unpaid(long, offer, counters))  # type: ignore[arg-type]
    assert quote.prompt_tokens == 50_000


def test_offer_book__knows_old_offers_and_artifacts_by_hash() -> None:
    old, new = make_offer(number=1), make_offer(number=2)
    book = OfferBook([SignedOffer(o, b"\x00" * 65, PAYEE) for o in (old, new)], {keccak(b"tok"): b"tok"})  # type: ignore[arg-type]
    assert book.current() == new
    assert book.quoted(old.struct_hash(), Seconds(0)) == old
    assert book.quoted(keccak(b"nothing"), Seconds(0)) == new
    assert book.artifact(keccak(b"tok")) == b"tok"
    assert book.document(None)["offer"]["number"] == "2"
    for missing in (book.artifact, book.document):
        with pytest.raises(NotFound):
            missing(keccak(b"nothing"))


def test_offer_book__offer_replaced__is_good_for_what_may_have_been_quoted_before_and_no_longer() -> None:
    first, second, third = (make_offer(number=number) for number in (1, 2, 3))
    signed = [SignedOffer(o, b"\x00" * 65, PAYEE) for o in (first, second, third)]  # type: ignore[arg-type]
    book = OfferBook(signed[:2], {}, {first.struct_hash(): Seconds(10_000)})
    book.take(signed[2], Seconds(20_000))
    for old, replaced in ((first, 10_000), (second, 20_000)):
        assert book.quoted(old.struct_hash(), Seconds(replaced + START_BY_HORIZON)) == old
        assert book.quoted(old.struct_hash(), Seconds(replaced + START_BY_HORIZON + 1)) == third
    assert book.quoted(third.struct_hash(), Seconds(10**9)) == third
    book.take(signed[0], Seconds(30_000))
    assert book.quoted(first.struct_hash(), Seconds(10**9)) == first, "the first one is in force again"


def test_models__prices_and_limits__no_path_of_the_engine() -> None:
    (model,) = OfferBook([SignedOffer(make_offer(), b"\x00" * 65, PAYEE)], {}).models()  # type: ignore[arg-type]
    assert model["price"] == {"prompt": "100000", "completion": "300000", "per_tokens": 1_000_000}
    assert (model["id"], model["max_model_len"]) == ("smollm2-135m", 2048)
    assert "root" not in model
