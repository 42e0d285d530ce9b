"""The books of a busy payee: how fast 1,000,000 receipts are written, and how fast what auditors ask is answered.

`python -m tests.bench.bench_queries [--receipts N] [--url URL] [--out FILE]`. Writes docs/figures/queries.json. Every
receipt is admitted and charged durably by the real ledger; each question is asked through the functions behind
`/ledger/...`, a reader's thread and snapshot included, and its median and slowest of ROUNDS are told.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop

from node.adapters.ledger import Books, migrate, open_ledger
from node.adapters.ledger.queries import Filters
from node.api.runtime import tune_collector
from node.core.rows import ROWS_START, RowFilters, RowKind
from node.core.types import Address, Seconds
from tests.bench.bench_ledger import COVER, WallClock, prepare, serve
from tests.ledgers import seed_pair

ROOT = Path(__file__).parents[2]
SLICE = 20_000
"""Requests prepared at a time, so that memory does not grow with the ledger."""
WAITERS = 500
LANES = 1_000
ROUNDS = 15
BALANCE_MUST_MS = 50.0
Question = Callable[[], Awaitable[object]]


def payer_of(lane: int) -> Address:
    return Address((lane + 1).to_bytes(20, "big"))


async def fill(books: Books, receipts: int) -> dict[str, float]:
    lease = await books.ledger.take_lease(Seconds(3600))
    seconds = 0.0
    for start in range(0, receipts, SLICE):
        waiting = prepare(min(SLICE, receipts - start), LANES, lease, first=start)
        begun = time.perf_counter()
        await asyncio.gather(*(serve(books, waiting, []) for _ in range(WAITERS)))
        seconds += time.perf_counter() - begun
        sys.stderr.write(f"\rbench-queries: {min(start + SLICE, receipts):,} of {receipts:,} receipts")
    sys.stderr.write("\n")
    return {"receipts": receipts, "lanes": LANES, "receipts_per_second": round(receipts / seconds)}


def questions(books: Books, middle: Seconds) -> Iterator[tuple[str, Question]]:
    """What auditors and clients ask, by name. A different payer each time."""
    queries, pages = books.queries, books.pages
    lanes = itertools.count()

    def payer() -> Address:
        return payer_of(next(lanes) * 7 % LANES)

    yield "balance of one payer", lambda: queries.load_balances(Filters(payer=payer()))
    yield "sum of one payer's receipts", lambda: queries.load_sums(Filters(payer=payer()))
    yield "a page of 100 receipts", lambda: pages.load_page(RowKind.RECEIPTS, RowFilters(), ROWS_START, 100)
    yield (
        "the same from the middle",
        lambda: pages.load_page(RowKind.RECEIPTS, RowFilters(since=middle), ROWS_START, 100),
    )
    yield (
        "100 receipts of one payer",
        lambda: pages.load_page(RowKind.RECEIPTS, RowFilters(payer=payer()), ROWS_START, 100),
    )
    yield (
        "100 receipts of one payer from the middle",
        lambda: pages.load_page(RowKind.RECEIPTS, RowFilters(payer=payer(), since=middle), ROWS_START, 100),
    )
    yield (
        "receipts of a payer who has none",
        lambda: pages.load_page(RowKind.RECEIPTS, RowFilters(payer=payer_of(LANES)), ROWS_START, 100),
    )
    yield "a page of 1,000 vouchers", lambda: pages.load_page(RowKind.VOUCHERS, RowFilters(), ROWS_START, 1_000)
    yield "sum of all receipts", lambda: queries.load_sums(Filters())


async def ask(question: Question) -> dict[str, float]:
    spent = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await question()
        spent.append((time.perf_counter() - begun) * 1e3)
    return {"median_ms": round(statistics.median(spent), 2), "slowest_ms": round(max(spent), 2)}


async def measure(url: str, receipts: int) -> dict[str, object]:
    books = open_ledger(url, WallClock(), "bench")
    books.start()
    tune_collector()
    try:
        started = time.time()
        written = await fill(books, receipts)
        middle = Seconds(int((started + time.time()) / 2))
        asked = {name: await ask(question) for name, question in questions(books, middle)}
    finally:
        await books.stop()
    return {**written, "questions": asked}


def run(url: str | None, receipts: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        place = url or f"sqlite:///{Path(folder) / 'bench.db'}"
        migrate(place)
        for lane in range(LANES):
            seed_pair(place, COVER, payer=payer_of(lane))
        figures = uvloop.run(measure(place, receipts))
        if url is None:
            figures["megabytes"] = round(sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6)
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty database; default: a temporary SQLite file")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures" / "queries.json")
    options = parser.parse_args()
    figures = run(options.url, options.receipts)
    figures |= {"load_average": [round(each, 2) for each in os.getloadavg()], "made_at": int(time.time())}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    asked: dict[str, dict[str, float]] = figures["questions"]  # type: ignore[assignment]
    for name, times in asked.items():
        sys.stdout.write(f"  {name:42} {times['median_ms']:10.2f} ms  slowest {times['slowest_ms']:10.2f} ms\n")
    sys.stdout.write(f"{figures['receipts']:,} receipts, {figures['receipts_per_second']:,} a second\n")
    is_good = asked["balance of one payer"]["slowest_ms"] <= BALANCE_MUST_MS
    sys.stdout.write(f"bench-queries: {'ok' if is_good else 'too slow'}\n")
    raise SystemExit(0 if is_good else 1)


if __name__ == "__main__":
    main()
