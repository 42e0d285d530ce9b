"""Questions to the books: balances, exact sums, pages by key, filters and time ranges; on both databases."""

from collections.abc import AsyncIterator

import pytest

from node.adapters.ledger import Books
from node.adapters.ledger.queries import START, Filters, Page
from node.core.facts import ChainBatch
from node.core.types import Seconds, Status
from tests.factories import NOW, PAYEE, PAYER, make_model
from tests.integration.test_ledger_chain_book import allotted, batch, operator_set, settled
from tests.ledgers import BIG, OTHER, books_with_sales, micros


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    async with books_with_sales(ledger_url) as made:
        yield made


async def test_load_balances__by_payer_and_lane__come_from_the_totals(books: Books) -> None:
    own, other = await books.queries.load_balances(Filters(payer=PAYER))
    assert (own.lane, own.charged, own.reserved, own.receipts) == (PAYER, 2 * BIG + 1, 5, 3)
    assert (other.lane, other.charged, other.receipts) == (OTHER, 0, 1)
    assert await books.queries.load_balances(Filters(lane=OTHER, generation=1)) == [other]
    assert await books.queries.load_balances(Filters(lane=OTHER, generation=2)) == []


async def test_load_sums__large_amounts__are_exact_and_filtered(books: Books) -> None:
    total = await books.queries.load_sums(Filters())
    assert (total.receipts, total.charge, total.prompt_tokens, total.completion_tokens) == (4, 2 * BIG + 1, 40, 80)
    model = make_model().model
    for filters, receipts, amount in (
        (Filters(payer=PAYER, since=Seconds(NOW + 1), until=Seconds(NOW + 2)), 1, 1),
        (Filters(until=Seconds(NOW + 2)), 2, BIG + 1),
        (Filters(status=Status.FAILED), 1, 0),
        (Filters(model=model), 4, 2 * BIG + 1),
        (Filters(model=bytes(32)), 0, 0),
        (Filters(payer=PAYEE), 0, 0),
    ):
        found = await books.queries.load_sums(filters)
        assert (found.receipts, found.charge) == (receipts, amount)


async def walk(books: Books, filters: Filters, size: int) -> list[Page]:
    pages, after = [], START
    while True:
        pages.append(await books.queries.load_charges(filters, after, size))
        following = pages[-1].next
        if following is None:
            return pages
        after = following


async def test_load_charges__paged__gives_every_row_once_in_order(books: Books) -> None:
    for size in (1, 2, 3, 4, 100):
        pages = await walk(books, Filters(), size)
        rows = [row for page in pages for row in page.rows]
        assert [row["seq"] for row in rows] == [micros(number * 1_000_000) for number in range(4)]
        assert all(len(page.rows) <= size for page in pages)
    (page,) = await walk(books, Filters(lane=OTHER, status=Status.FAILED), 10)
    (row,) = page.rows
    assert (row["payer"], row["charge"], row["status"], row["signature"]) == (PAYER, 0, Status.FAILED, None)
    (page,) = await walk(books, Filters(since=Seconds(NOW + 1), until=Seconds(NOW + 3)), 10)
    assert [row["charge"] for row in page.rows] == [1, BIG]


async def test_load_events__by_address_time_and_page__follow_the_chain(books: Books) -> None:
    first = batch(1, 4, allotted(1, 5), operator_set(2, 1), settled(3, 4), finalised=4)
    await books.chain.book(ChainBatch(first.blocks, first.events, 4))
    page = await books.queries.load_events(Filters(), START, 2)
    assert [row["name"] for row in page.rows] == ["Allotted", "OperatorSet"]
    assert page.next is not None
    page = await books.queries.load_events(Filters(), page.next, 2)
    assert [row["name"] for row in page.rows] == ["Settled"]
    page = await books.queries.load_events(Filters(payer=PAYER, since=Seconds(1_800_000_002)), START, 9)
    assert [row["name"] for row in page.rows] == ["Settled"]
    page = await books.queries.load_events(Filters(payee=PAYEE, until=Seconds(1_800_000_003)), START, 9)
    assert [row["name"] for row in page.rows] == ["Allotted", "OperatorSet"]


async def test_load_claims__none_signed__is_an_empty_page(books: Books) -> None:
    assert await books.queries.load_claims(Filters()) == Page([], None)
