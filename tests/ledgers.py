"""Ledgers for tests: a bendable clock, an open SQL ledger, and the chain's side of the books put there by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Engine, delete, insert

from node.adapters.ledger import Books, SqlLedger, migrate, open_ledger
from node.adapters.ledger.chain_tables import payee_state, signer
from node.adapters.ledger.schema import for_writing, open_engine
from node.adapters.ledger.tables import pair
from node.core.account import Admission, Outcome
from node.core.hashing import keccak
from node.core.types import ZERO32, Address, Amount, LaneKey, Micros, Seconds, Status, TokenCount
from tests.factories import KEY, NOW, PAYEE, PAYER, make_admission, request_id

GENERATION = 1
OWN = LaneKey(PAYER, PAYEE, PAYER, GENERATION)
SIGNATURE = b"\x07" * 64 + b"\x1b"
OTHER = Address(b"\x0a" * 20)
"""A further signer of PAYER: another lane."""
BIG = 2**126


@dataclass
class FakeClock:
    wall: float = float(NOW)

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.wall


def seed_pair(url: str, cover: int, *, payer: Address = PAYER, payee: Address = PAYEE) -> None:
    """What the chain would have said: a cover, and a payee in generation 1."""
    engine = open_engine(url)
    with for_writing(engine).begin() as connection:
        row = {"payer": payer, "payee": payee, "committed": 0, "thawing": 0, "thaw_end": 0}
        connection.execute(insert(pair).values(**row, cover=cover))
        connection.execute(delete(payee_state).where(payee_state.c.payee == payee))
        state = {"payee": payee, "operator": b"\x0f" * 20, "head_generation": GENERATION}
        connection.execute(insert(payee_state).values(**state, generation=GENERATION))
    engine.dispose()


def seed_signer(url: str, address: Address, payer: Address, cap: int, *, is_live: int = 1) -> None:
    engine = open_engine(url)
    with for_writing(engine).begin() as connection:
        row = {"signer": address, "payer": payer, "cap": cap, "thaw_end": 0}
        connection.execute(insert(signer).values(**row, is_live=is_live))
    engine.dispose()


@asynccontextmanager
async def opened_books(url: str, clock: FakeClock | None = None) -> AsyncIterator[Books]:
    books = open_ledger(url, clock or FakeClock(), "test")
    books.start()
    try:
        yield books
    finally:
        await books.stop()


@asynccontextmanager
async def opened(url: str, clock: FakeClock | None = None) -> AsyncIterator[SqlLedger]:
    async with opened_books(url, clock) as books:
        yield books.ledger


@asynccontextmanager
async def fresh_ledger(url: str, cover: int = 1_000_000) -> AsyncIterator[tuple[SqlLedger, int]]:
    """A migrated ledger with one pair, and a lease."""
    migrate(url)
    seed_pair(url, cover)
    async with opened(url) as ledger:
        yield ledger, await ledger.take_lease(Seconds(60))


def wish(number: int, lease: int, *, key: LaneKey = OWN, ceiling: int = 1_000_000, price: int = 100) -> Admission:
    """An admission by its number."""
    made = make_admission(ceiling, key, request_id=request_id(number), max_price=Amount(price))
    return replace(made, lease=lease)


def outcome(charge: int, status: Status = Status.COMPLETE) -> Outcome:
    return Outcome(status, TokenCount(10, 20), Amount(charge), keccak(b"answer"), ZERO32)


def micros(number: int = 0) -> Micros:
    return Micros(NOW * 1_000_000 + number)


def dump(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, ordered: two ledgers with the same history have the same dump."""
    from node.adapters.ledger.tables import metadata

    with engine.connect() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
            for name, table in metadata.tables.items()
        }


__all__ = ["KEY", "OWN", "FakeClock", "dump", "fresh_ledger", "micros", "opened", "outcome", "seed_pair", "wish"]


@asynccontextmanager
async def books_with_sales(url: str) -> AsyncIterator[Books]:
    """Own lane: charges 2^126, 1, 2^126 at seconds 0..2, one still open. OTHER's lane: one failed at second 3."""
    migrate(url)
    seed_pair(url, 2**128 - 1)
    seed_signer(url, OTHER, PAYER, 10**6)
    async with opened_books(url) as made:
        lease = await made.ledger.take_lease(Seconds(60))
        for number, amount in enumerate((BIG, 1, BIG)):
            made_wish = wish(number, lease, ceiling=2**128 - 1, price=BIG)
            await made.ledger.admit(made_wish)
            await made.ledger.close(made_wish, outcome(amount), micros(number * 1_000_000))
        other = wish(9, lease, key=replace(OWN, lane=OTHER))
        await made.ledger.admit(other)
        await made.ledger.close(other, outcome(0, Status.FAILED), micros(3_000_000))
        await made.ledger.admit(wish(10, lease, ceiling=2**128 - 1, price=5))
        yield made
