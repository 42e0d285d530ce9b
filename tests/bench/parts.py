"""Parts measured alone: durable charges a second on the real ledger, and checking one voucher."""

import asyncio
import hashlib
import time
from pathlib import Path

import uvloop

from node.adapters.keys import recover
from node.adapters.ledger import migrate, open_ledger
from node.core.account import Admission, Outcome
from node.core.messages import Voucher
from node.core.types import ZERO32, Amount, Bytes32, LaneKey, Micros, Seconds, Status, TokenCount
from node.core.voucher import check_terms
from node.services.x402 import Market, parse_payment
from tests.bench.requests import chat_body
from tests.lab.node import CURRENCY, DOMAIN, PAYEE, LabOptions, SystemClock, make_offer, seed
from tests.lab.payer import LabPayer

WAITERS = 512


def charges_per_second(tokens: Path, folder: Path, seconds: float) -> float:
    """Requests admitted and closed durably (FULL synchronisation), WAITERS at a time."""
    return uvloop.run(_charges(tokens, folder, seconds))


async def _charges(tokens: Path, folder: Path, seconds: float) -> float:
    url, clock = f"sqlite:///{folder / 'charges.db'}", SystemClock()
    offer = make_offer(LabOptions(tokens, folder, ()))
    payer = LabPayer(DOMAIN, PAYEE, offer)
    migrate(url)
    seed(url, [payer.address])
    books = open_ledger(url, clock)
    books.start()
    lease = await books.ledger.take_lease(Seconds(600))
    template = payer.terms(b"{}", int(time.time()) + 600, 100)
    key = LaneKey(payer.address, PAYEE, payer.address, 1)
    outcome = Outcome(Status.COMPLETE, TokenCount(9, 9), Amount(4), ZERO32, ZERO32)
    until, done, number = time.monotonic() + seconds, 0, 0

    async def one_after_another() -> None:
        nonlocal done, number
        while time.monotonic() < until:
            number += 1
            terms = _with_id(template, Bytes32(hashlib.sha256(number.to_bytes(8, "big")).digest()))
            voucher = Voucher(payer.address, PAYEE, 1, Amount(10**12), terms.struct_hash())
            admission = Admission(key, voucher, b"\x01" * 65, terms, ZERO32, Seconds(int(time.time())), lease)  # type: ignore[arg-type]
            await books.ledger.admit(admission)
            await books.ledger.close(admission, outcome, Micros(int(time.time() * 1e6)))
            done += 1

    started = time.monotonic()
    await asyncio.gather(*(one_after_another() for _ in range(WAITERS)))
    rate = done / (time.monotonic() - started)
    await books.stop()
    return rate


def _with_id(terms, request_id: Bytes32):
    from dataclasses import replace

    return replace(terms, request_id=request_id)


def voucher_microseconds(tokens: Path, rounds: int = 2_000) -> float:
    """Parse a payment header, recover its signer, check its terms; best of five, per voucher."""
    offer = make_offer(LabOptions(tokens, tokens, ()))
    payer, market, now = LabPayer(DOMAIN, PAYEE, offer), Market(PAYEE, DOMAIN, CURRENCY), int(time.time())
    header = payer.header(payer.terms(chat_body(1), now + 60, 100))
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(rounds // 5):
            payment = parse_payment(header, market)
            recover(DOMAIN.digest(payment.voucher.struct_hash()), payment.signature)
            check_terms(payment.terms, payment.voucher, offer, Seconds(now))
        best = min(best, (time.perf_counter() - started) / (rounds // 5))
    return best * 1e6
