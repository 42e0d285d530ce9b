"""Parts measured alone: durable charges a second on the real ledger, one voucher, and the disk that both wait for."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from node.adapters.keys import recover
from node.core.types import Seconds
from node.core.voucher import check_terms
from node.services.x402 import Market, parse_payment
from tests.bench import bench_ledger
from tests.bench.requests import chat_body
from tests.lab.node import CURRENCY, DOMAIN, PAYEE, LabOptions, make_offer
from tests.lab.payer import LabPayer

WAITERS, LANES = 500, 16
REPEATS = 5


def charges_per_second(cycles: int) -> float:
    """Requests admitted, closed and their receipts signed durably (FULL synchronisation), WAITERS at a time."""
    return float(bench_ledger.run(None, [WAITERS], cycles, LANES)[0]["charges_per_second"])


def sync_microseconds(rounds: int = 100) -> float:
    """One fdatasync after twelve new kilobytes, the median: a paid request waits for two of them, whatever we do."""
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(rounds):
            os.write(file.fileno(), bytes(12_288))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
            time.sleep(0.002)
    return statistics.median(taken) * 1e6


def voucher_microseconds(tokens: Path, rounds: int = 400) -> float:
    """Parse a payment header, recover its signer, check its terms; the best of some repeats, per voucher."""
    offer = make_offer(LabOptions(tokens, tokens, ()))
    payer, market, now = LabPayer(DOMAIN, PAYEE, offer), Market(PAYEE, DOMAIN, CURRENCY), int(time.time())
    header = payer.header(payer.terms(chat_body(1), now + 60, 100))
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(rounds):
            payment = parse_payment(header, market)
            recover(DOMAIN.digest(payment.voucher.struct_hash()), payment.signature)
            check_terms(payment.terms, payment.voucher, offer, Seconds(now))
        best = min(best, (time.perf_counter() - started) / rounds)
    return best * 1e6
