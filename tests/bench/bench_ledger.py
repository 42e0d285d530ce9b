"""Durable charges a second of one process: `python -m tests.bench.bench_ledger [--url sqlite:///x.db] [--json]`.

A cycle = admit (durable) + close (durable) + its signature kept: two commits awaited and four rows written for one
paid request. `charges` counts cycles; `commits` counts awaited durable writes (two a cycle). Requests are prepared
beforehand, so that only the ledger is measured.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import uvloop

from node.adapters.ledger import Books, migrate, open_ledger
from node.api.runtime import tune_collector
from node.core.account import Admission, Outcome
from node.core.hashing import keccak
from node.core.types import ZERO32, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Status, TokenCount
from tests.factories import PAYEE, make_terms, make_voucher
from tests.ledgers import SIGNATURE, seed_pair

COVER = 10**30


class WallClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def prepare(count: int, lanes: int, lease: int, *, first: int = 0) -> list[Admission]:
    """Requests of `lanes` payers in turn, numbered from `first`, with ids of their own."""
    terms, voucher, made = make_terms(), make_voucher(), []
    for number in range(first, first + count):
        payer = Address((number % lanes + 1).to_bytes(20, "big"))
        own = replace(terms, request_id=keccak(number.to_bytes(8, "big")), request_hash=Bytes32(bytes(32)))
        signed = replace(voucher, payer=payer, generation=1, ceiling=Amount(COVER))
        key = LaneKey(payer, PAYEE, payer, 1)
        made.append(Admission(key, signed, SIGNATURE, own, ZERO32, Seconds(int(time.time())), lease))
    return made


async def serve(books: Books, waiting: list[Admission], spent: list[float]) -> None:
    """One waiter: cycles until none is left."""
    outcome = Outcome(Status.COMPLETE, TokenCount(10, 20), Amount(7), ZERO32, ZERO32)
    while waiting:
        admission = waiting.pop()
        begun = time.perf_counter()
        await books.ledger.admit(admission)
        admitted = time.perf_counter()
        receipt = await books.ledger.close(admission, outcome, Micros(int(time.time() * 1e6)))
        spent += (admitted - begun, time.perf_counter() - admitted)
        await books.ledger.keep_signature(receipt, SIGNATURE)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(url: str, waiters: int, cycles: int, lanes: int) -> dict[str, float]:
    books = open_ledger(url, WallClock(), "bench")
    books.start()
    try:
        lease = await books.ledger.take_lease(Seconds(3600))
        waiting, spent = prepare(cycles, lanes, lease), []
        tune_collector()  # as every serving process does
        begun, cpu = time.perf_counter(), cpu_seconds()
        await asyncio.gather(*(serve(books, waiting, spent) for _ in range(waiters)))
        seconds, cpu = time.perf_counter() - begun, cpu_seconds() - cpu
    finally:
        await books.stop()
    spent.sort()
    return {
        "waiters": waiters,
        "lanes": lanes,
        "charges_per_second": round(cycles / seconds),
        "commits_awaited_per_second": round(2 * cycles / seconds),
        "cpu_us_per_charge": round(cpu / cycles * 1e6, 1),
        "wait_p50_ms": round(spent[len(spent) // 2] * 1e3, 2),
        "wait_p99_ms": round(spent[len(spent) * 99 // 100] * 1e3, 2),
    }


def run(url: str | None, waiters: list[int], cycles: int, lanes: int) -> list[dict[str, float]]:
    results = []
    for number in waiters:
        with tempfile.TemporaryDirectory() as folder:
            place = url or f"sqlite:///{Path(folder) / 'bench.db'}"
            migrate(place)
            for lane in range(lanes):
                seed_pair(place, COVER, payer=Address((lane + 1).to_bytes(20, "big")))
            count = cycles if number > 1 else min(cycles, 1000)
            results.append(uvloop.run(measure(place, number, count, lanes)))
        if url is not None:
            break
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="an empty database; default: a temporary SQLite file per row")
    parser.add_argument("--waiters", type=int, nargs="+", default=[1, 64, 500])
    parser.add_argument("--cycles", type=int, default=40_000)
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = run(args.url, args.waiters, args.cycles, args.lanes)
    if args.json:
        print(json.dumps({"ledger": results}, indent=2))
        return 0
    for row in results:
        print("  ".join(f"{name} {figure}" for name, figure in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
