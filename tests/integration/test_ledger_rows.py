"""`GET /ledger/...` on real books of both databases: every kind, filters, pages by key, formats, refusals, slots."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI

from node.adapters.ledger import Books
from node.adapters.ledger.totals import check_totals
from node.api import ledger_rows as routes
from node.api.app import add_error_handlers
from node.core.errors import Overloaded
from node.core.rows import COLUMNS, ROWS_START, RowFilters, RowKind, RowPage
from node.services import ledger_rows as service
from node.services.ledger_rows import LedgerRows
from tests.factories import NOW, PAYEE, PAYER
from tests.integration.test_ledger_chain_book import allotted, batch, operator_set
from tests.integration.test_ledger_duels import DUEL, EAST, NORTH, SOUTH, opened
from tests.integration.test_ledger_duels import OTHER as ANOTHER
from tests.integration.test_ledger_duels import event as duel_event
from tests.integration.test_ledger_settlement import sign, want
from tests.ledgers import BIG, OTHER, books_with_sales, micros

pytestmark = pytest.mark.integration
JSON, CSV = {"accept": "application/json"}, {"accept": "text/csv"}


@pytest.fixture
async def books(ledger_url: str) -> AsyncIterator[Books]:
    async with books_with_sales(ledger_url) as made:
        yield made


@pytest.fixture
async def http(books: Books) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(routes.ledger_routes(LedgerRows(books.pages)))
    add_error_handlers(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client:
        yield client


async def rows_of(http: httpx.AsyncClient, path: str, **params: object) -> list[dict]:
    reply = await http.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["rows"]


async def test_ledger_receipts__all__show_public_columns_and_exact_amounts(http: httpx.AsyncClient) -> None:
    rows = await rows_of(http, "/ledger/receipts")
    assert [row["charge"] for row in rows] == [str(BIG), "1", str(BIG), "0"]
    assert list(rows[0]) == list(COLUMNS[RowKind.RECEIPTS])
    assert rows[0]["payer"] == "0x" + PAYER.hex()
    assert rows[0]["signature"] is None
    assert not {"salt", "lease", "voucher_id"} & {name for names in COLUMNS.values() for name in names}


async def test_ledger_charges__filters__choose_lane_and_time(http: httpx.AsyncClient) -> None:
    lane = "0x" + OTHER.hex()
    assert [row["lane"] for row in await rows_of(http, "/ledger/charges", lane=lane)] == [lane]
    middle = await rows_of(http, "/ledger/charges", since=NOW + 1, until=NOW + 2)
    assert [row["charge"] for row in middle] == ["1"]
    assert await rows_of(http, "/ledger/charges", payer="0x" + PAYEE.hex()) == []
    assert len(await rows_of(http, "/ledger/charges", payee="0x" + PAYEE.hex())) == 4


async def test_ledger_vouchers__open_requests__are_there_too(http: httpx.AsyncClient) -> None:
    assert len(await rows_of(http, "/ledger/vouchers")) == 5
    assert await rows_of(http, "/ledger/vouchers", since=NOW + 10**6) == []
    assert len(await rows_of(http, "/ledger/vouchers", lane="0x" + PAYER.hex(), until=NOW + 10**6)) == 4


async def test_ledger_duels__one_over_one_running__are_one_row_each(http: httpx.AsyncClient, books: Books) -> None:
    amounts = {"slashed": 7, "prize": 2, "share": 1, "bondBack": 2**100, "appealBack": 0}
    ended = duel_event(4, 0, "Finalized", duelId=DUEL, outcome=5, **amounts)
    await books.chain.book(batch(1, 4, opened(2, DUEL), opened(3, ANOTHER), ended))
    over, running = await rows_of(http, "/ledger/duels")
    assert list(over) == list(COLUMNS[RowKind.DUELS])
    assert (over["duel_id"], over["opened_block"], over["ended_block"]) == ("0x" + DUEL.hex(), 2, 4)
    assert (over["outcome"], over["prize"], over["slashed"], over["bond_back"]) == (5, "18", "7", str(2**100))
    assert (running["outcome"], running["ended_block"], running["slashed"]) == (None, None, None)
    assert (running["epoch"], running["attempt"], running["draw_block"]) == (9, 1, 5)
    for name, party, count in (("payee", NORTH, 2), ("payee", SOUTH, 2), ("payee", EAST, 0), ("payer", EAST, 2)):
        assert len(await rows_of(http, "/ledger/duels", **{name: "0x" + party.hex()})) == count, (name, party)
    times = [row["opened_at"] for row in (over, running)]
    assert await rows_of(http, "/ledger/duels", since=times[1] + 1) == []
    assert len(await rows_of(http, "/ledger/duels", since=times[0], until=times[1] + 1)) == 2
    page = (await http.get("/ledger/duels", params={"limit": 1})).json()
    assert [page["rows"][0], *await rows_of(http, "/ledger/duels", after=page["next"])] == [over, running]


async def test_ledger_events__filters_by_address__find_the_pair(http: httpx.AsyncClient, books: Books) -> None:
    await books.chain.book(batch(1, 2, operator_set(1, 1), allotted(2, 5)))
    every = await rows_of(http, "/ledger/events")
    assert [row["name"] for row in every] == ["OperatorSet", "Allotted"]
    assert [row["name"] for row in await rows_of(http, "/ledger/events", payer="0x" + PAYER.hex())] == ["Allotted"]
    assert isinstance(json.loads(every[0]["args"]), dict)


async def test_ledger_pages__followed_by_next__give_each_row_once(http: httpx.AsyncClient) -> None:
    for kind, expected in (("receipts", 4), ("vouchers", 5)):
        seen, after = [], ""
        while after is not None:
            page = (await http.get(f"/ledger/{kind}", params={"limit": 2, "after": after})).json()
            assert len(page["rows"]) <= 2
            seen += [row["request_id"] for row in page["rows"]]
            after = page["next"]
        assert len(seen) == len(set(seen)) == expected


async def test_ledger_exports__csv_and_jsonl__carry_the_same_rows(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await rows_of(http, "/ledger/charges")
    monkeypatch.setattr(service, "LONGEST_PAGE", 3)
    table = await http.get("/ledger/charges", headers=CSV)
    assert table.headers["content-type"].startswith("text/csv")
    lines = (await http.get("/ledger/charges?format=jsonl", headers=JSON)).text.splitlines()
    assert [json.loads(line) for line in lines] == rows
    shown = list(csv.DictReader(io.StringIO(table.text)))
    assert shown == [{name: str(value) for name, value in row.items()} for row in rows]


async def test_ledger_exports__parquet__has_exact_decimals_in_several_groups(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LONGEST_PAGE", 2)
    monkeypatch.setattr("node.api.exports.PARQUET_ROWS", 2)
    reply = await http.get("/ledger/receipts", headers={"accept": "application/vnd.apache.parquet"})
    file = pq.ParquetFile(io.BytesIO(reply.content))
    assert file.num_row_groups >= 2
    table = file.read()
    assert table["charge"].to_pylist() == [Decimal(BIG), Decimal(1), Decimal(BIG), Decimal(0)]
    assert table["seq"].to_pylist() == [micros(number * 1_000_000) for number in range(4)]
    assert table["signature"].to_pylist() == [None] * 4


async def test_ledger_exports__parquet_without_pyarrow__is_406(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "is_parquet_here", lambda: False)
    reply = await http.get("/ledger/receipts?format=parquet")
    assert reply.status_code == 406
    assert "format=csv" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("receipts?payer=0x12", 400),
        ("receipts?lane=" + "0x" + "zz" * 20, 400),
        ("receipts?limit=0", 400),
        ("receipts?limit=1001", 400),
        ("receipts?since=-1", 400),
        ("receipts?after=7", 400),
        ("receipts?after=7-x", 400),
        ("receipts?after=7--1", 400),
        ("receipts?after=9999999999999999999-0", 400),
        ("receipts?format=xml", 400),
        ("salts", 400),
    ],
)
async def test_ledger_route__nonsense__is_refused(http: httpx.AsyncClient, query: str, status: int) -> None:
    reply = await http.get(f"/ledger/{query}")
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_ledger_route__accept__chooses_the_first_known_type_or_406(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ledger/receipts", headers={"accept": "image/png"})).status_code == 406
    several = await http.get("/ledger/receipts", headers={"accept": "image/png, application/jsonl;q=0.9, */*"})
    assert several.headers["content-type"] == "application/jsonl"


async def test_ledger_route__writing__is_not_offered(http: httpx.AsyncClient, books: Books) -> None:
    assert (await http.post("/ledger/receipts")).status_code == 405
    await http.get("/ledger/receipts?format=csv")
    assert await books.store.read_with(check_totals) == []


async def _never() -> dict:
    return await asyncio.get_running_loop().create_future()


def _into(sent: list[dict]) -> Callable[[dict], Awaitable[None]]:
    async def send(message: dict) -> None:
        sent.append(message)

    return send


class SlowPages:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked = 0

    async def load_page(self, *_: object) -> RowPage:
        self.asked += 1
        await self.go.wait()
        return RowPage([], None)


async def test_ledger_exports__too_many_at_once__are_refused_and_slots_come_back() -> None:
    pages = SlowPages()
    rows = LedgerRows(pages)
    async with rows.stream(RowKind.RECEIPTS, RowFilters()), rows.stream(RowKind.CLAIMS, RowFilters()):
        with pytest.raises(Overloaded):
            async with rows.stream(RowKind.EVENTS, RowFilters()):
                pass
        pages.go.set()
        assert await rows.page(RowKind.RECEIPTS, RowFilters(), ROWS_START, 5) == ([], None)
    async with rows.stream(RowKind.EVENTS, RowFilters()) as batches:
        assert [batch async for batch in batches] == [[]]


async def test_ledger_exports__slower_than_the_limit__are_cut_and_free_their_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "EXPORT_SECONDS", 0.05)
    rows, app = LedgerRows(SlowPages()), FastAPI()
    app.include_router(routes.ledger_routes(rows))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/ledger/receipts",
        "query_string": b"format=jsonl",
        "headers": [],
    }
    for _ in range(service.MAX_STREAMS + 1):
        sent: list[dict] = []
        await app(scope, _never, _into(sent))
        assert sent[0]["status"] == 200
        assert not any(message.get("more_body") is False for message in sent)
    async with rows.stream(RowKind.EVENTS, RowFilters()):
        pass


async def test_ledger_claims__one_claim__is_shown_with_its_lane(http: httpx.AsyncClient, books: Books) -> None:
    assert await rows_of(http, "/ledger/claims") == []
    (due,) = await books.settlement.load_due(PAYEE, 10)
    await books.settlement.save_claims([await sign(books, due)], want())
    (row,) = await rows_of(http, "/ledger/claims", lane="0x" + PAYER.hex())
    assert (row["cumulative"], row["count"], row["payee"]) == (str(2 * BIG + 1), 3, "0x" + PAYEE.hex())
    assert await rows_of(http, "/ledger/claims", since=NOW + 10**6) == []


async def test_ledger_pages__many_at_once__leave_threads_to_the_serve_path() -> None:
    pages = SlowPages()
    rows = LedgerRows(pages)
    reads = [asyncio.create_task(rows.page(RowKind.EVENTS, RowFilters(), ROWS_START, 1)) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert pages.asked == service.MAX_READS
    pages.go.set()
    assert await asyncio.gather(*reads) == [([], None)] * 5
    assert pages.asked == 5
