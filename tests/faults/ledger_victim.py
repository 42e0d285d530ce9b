"""A process that admits and closes in a loop and says so, until somebody kills it. Used by test_ledger_kill."""

import asyncio
import os
import time

from node.adapters.ledger import open_ledger
from node.core.types import Seconds, Status
from tests.ledgers import SIGNATURE, micros, outcome, wish

WAITERS = 24


class WallClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def main(url: str, first: int, pipe: int, lease_seconds: int = 1) -> None:
    """Number requests from `first`; write a line to the pipe after each acknowledged step."""
    asyncio.run(_work(url, first, pipe, Seconds(lease_seconds)))


async def _work(url: str, first: int, pipe: int, lease_seconds: Seconds) -> None:
    books = open_ledger(url, WallClock(), "victim")
    books.start()
    lease = await books.ledger.take_lease(lease_seconds)
    for admission in await books.ledger.load_abandoned():
        receipt = await books.ledger.close(admission, outcome(0, Status.FAILED), micros(first))
        os.write(pipe, b"F %s %d\n" % (receipt.request_id.hex().encode(), receipt.charge))
    os.write(pipe, b"ready\n")
    numbers = iter(range(first, first + 10**6))
    await asyncio.gather(
        _renew(books, lease, lease_seconds), *(_serve(books, lease, numbers, pipe) for _ in range(WAITERS))
    )


async def _renew(books: object, lease: int, seconds: Seconds) -> None:
    while True:
        await asyncio.sleep(0.3)
        await books.ledger.renew_lease(lease, seconds)


async def _serve(books: object, lease: int, numbers: object, pipe: int) -> None:
    for number in numbers:
        admission = wish(number, lease, ceiling=10**12, price=50)
        await books.ledger.admit(admission)
        name = admission.request_id.hex().encode()
        os.write(pipe, b"A %s %d\n" % (name, number))
        receipt = await books.ledger.close(admission, outcome(number % 50), micros(number))
        os.write(pipe, b"C %s %d %d\n" % (name, receipt.charge, receipt.cumulative))
        await books.ledger.keep_signature(receipt, SIGNATURE)
