"""Every statement of every ledger write fails once, lastingly, and with a lost reply.

`python -m tests.faults.disk_faults`. After each case: a caller that was told yes finds its rows, one that was told
LedgerUnavailable finds the books unchanged (or, when the reply to COMMIT was lost for good, an open request that the
sweep closes at zero), the cached totals equal the rows, and the next write succeeds by itself. The last line is
`disk-faults: cases C, violations V`.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from node.adapters.ledger import Books, migrate, open_ledger
from node.adapters.ledger.totals import check_totals
from node.core.errors import LedgerUnavailable
from node.core.facts import Block, ChainBatch, ChainEvent
from node.core.hashing import keccak
from node.core.transactions import Call, Wish
from node.core.types import Address, Micros, Seconds, Status
from tests.factories import PAYEE, PAYER
from tests.fakes.postgres import NoPostgresError, fresh_database, postgres_server
from tests.faults.faulty_driver import POSTGRES_FAULTS, SQLITE_FAULTS, Plan, make_faulty
from tests.ledgers import SIGNATURE, FakeClock, dump, micros, outcome, seed_pair, wish

MANY = 12
NEVER = 10**9
"""A statement number that does not come: the case without a fault tells how many there are."""
Action = Callable[[], Awaitable[object]]


class Rig:
    """One ledger on a driver that fails by plan."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.books: Books = open_ledger(url, self.clock, "faults")
        self.plan: Plan = make_faulty(self.books.store.engine)
        self.books.start()
        self.number = 0
        self.lease = 0
        self.cases = 0
        self.violations: list[str] = []

    async def begin(self) -> None:
        self.lease = await self.books.ledger.take_lease(Seconds(10**6))

    async def admitted(self) -> int:
        """A request in flight."""
        self.number += 1
        await self.books.ledger.admit(wish(self.number, self.lease, price=10, ceiling=10**6))
        return self.number

    async def actions(self) -> dict[str, Action]:
        """One of each write, prepared so far that only the write itself is under the fault."""
        open_number = await self.admitted()
        self.number += 1
        fresh, height = self.number, self.number
        many = range(fresh + 1, fresh + 1 + MANY)
        self.number += MANY
        ledger, outbox = self.books.ledger, self.books.outbox
        want = Wish(f"k{fresh}", "claim", PAYEE, Call(PAYEE, b"x"), Seconds(0))
        news = ChainBatch((_block(height),), (_allotted(height),), height)
        return {
            "admit": lambda: ledger.admit(wish(fresh, self.lease, price=10, ceiling=10**6)),
            "admit_many": lambda: self.admit_all(many),
            "close": lambda: ledger.close(wish(open_number, self.lease, price=10), outcome(3), self.now()),
            "take_lease": lambda: ledger.take_lease(Seconds(5)),
            "renew_lease": lambda: ledger.renew_lease(self.lease, Seconds(10**6)),
            "want": lambda: outbox.add(want),
            "book": lambda: self.books.chain.book(news),
        }

    async def admit_all(self, numbers: range) -> None:
        """More rows than are inserted one by one: on PostgreSQL they are copied. All callers hear the same."""
        admits = (self.books.ledger.admit(wish(one, self.lease, price=10, ceiling=10**6)) for one in numbers)
        heard = await asyncio.gather(*admits, return_exceptions=True)
        errors = [one for one in heard if isinstance(one, BaseException)]
        if errors and len(errors) < len(heard):
            raise RuntimeError(f"{len(errors)} of {len(heard)} in one group were refused: {errors[0]!r}")
        if errors:
            raise errors[0]

    def now(self) -> Micros:
        return micros(self.number)

    async def try_out(self, name: str, kind: str, at: int, *, is_lasting: bool, is_late: bool) -> int:
        """One case; how many statements the action took."""
        action = (await self.actions())[name]
        engine = self.books.store.engine
        before = dump(engine)
        faults = SQLITE_FAULTS if engine.dialect.name == "sqlite" else POSTGRES_FAULTS
        self.plan.arm(faults[kind], at, is_lasting=is_lasting, is_late=is_late)
        told = "yes"
        try:
            await action()
        except LedgerUnavailable:
            told = "unavailable"
        except Exception as exc:  # noqa: BLE001 -- whatever else the caller gets is a violation
            told = repr(exc)
        statements = self.plan.disarm()
        label = f"{name} {kind} at {at} {'lasting' if is_lasting else 'once'}{' late' if is_late else ''}"
        self.cases += 1
        await self.judge(label, told, before, is_late=is_late)
        return statements

    async def judge(self, label: str, told: str, before: dict[str, object], *, is_late: bool) -> None:
        engine = self.books.store.engine
        after = dump(engine)
        if told not in ("yes", "unavailable"):
            self.violations.append(f"{label}: the caller got {told}")
        if told == "unavailable" and not is_late and after != before:
            self.violations.append(f"{label}: told unavailable, but the books changed")
        if told == "yes" and after == before and not label.startswith("renew_lease"):
            self.violations.append(f"{label}: told yes, but nothing was written")
        for admission in await self.books.ledger.load_abandoned():
            await self.books.ledger.close(admission, outcome(0, Status.FAILED), self.now())
        self.violations += [f"{label}: {finding}" for finding in await self.books.store.read_with(check_totals)]
        try:
            await self.admitted()
        except Exception as exc:  # noqa: BLE001 -- as above
            self.violations.append(f"{label}: the next write failed: {exc!r}")


def _block(number: int) -> Block:
    return Block(number, keccak(b"%d" % number), keccak(b"%d" % (number - 1)), Seconds(number))


def _allotted(number: int) -> ChainEvent:
    args = {"payer": PAYER, "payee": Address(b"\x77" * 20), "amount": number, "allotted": number}
    return ChainEvent(number, _block(number).hash, 0, keccak(b"tx"), "escrow", "Allotted", args)


async def run(url: str, kinds: list[str], only: list[str]) -> Rig:
    """All cases on one database."""
    migrate(url)
    seed_pair(url, 10**9)
    rig = Rig(url)
    await rig.begin()
    for name in only or await rig.actions():
        for kind in kinds:
            statements = await rig.try_out(name, kind, NEVER, is_lasting=False, is_late=False)
            for at in range(statements):
                await rig.try_out(name, kind, at, is_lasting=False, is_late=False)
                await rig.try_out(name, kind, at, is_lasting=True, is_late=False)
                await rig.try_out(name, kind, at, is_lasting=False, is_late=True)
                await rig.try_out(name, kind, at, is_lasting=True, is_late=True)
    await try_signatures(rig)
    await rig.books.stop()
    return rig


async def try_signatures(rig: Rig) -> None:
    """A signature that cannot be written now is written later, and never fails a neighbour."""
    number = await rig.admitted()
    receipt = await rig.books.ledger.close(wish(number, rig.lease, price=10), outcome(1), rig.now())
    faults = SQLITE_FAULTS if rig.books.store.engine.dialect.name == "sqlite" else POSTGRES_FAULTS
    rig.plan.arm(faults["full"], 0, is_lasting=True, is_late=False)
    await rig.books.ledger.keep_signature(receipt, SIGNATURE)
    await asyncio.sleep(0.2)
    rig.plan.disarm()
    await asyncio.sleep(1.5)
    rig.cases += 1
    stored = await rig.books.ledger.load_request(receipt.payer, receipt.lane, receipt.request_id)
    if stored is None or stored.signature != SIGNATURE:
        rig.violations.append("signature: lost in a fault although the worker lived")


def kinds_of(url: str) -> list[str]:
    return list(SQLITE_FAULTS if url.startswith("sqlite") else POSTGRES_FAULTS)


def databases(named: str | None, stack: contextlib.ExitStack) -> Iterator[str]:
    """The named one; else a new SQLite file and, where the machine has PostgreSQL, a new database there."""
    if named:
        yield named
        return
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    yield f"sqlite:///{folder / 'faults.db'}"
    try:
        server = stack.enter_context(postgres_server())
    except NoPostgresError as exc:
        print(f"PostgreSQL left out: {exc}")
        return
    yield stack.enter_context(fresh_database(server))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="an empty database; default: SQLite, and PostgreSQL where it is installed")
    parser.add_argument("--only", nargs="*", default=[], metavar="WRITE", help="admit, admit_many, close, ...")
    args = parser.parse_args()
    logging.disable(logging.ERROR)
    with contextlib.ExitStack() as stack:
        rigs = [asyncio.run(run(url, kinds_of(url), args.only)) for url in databases(args.url, stack)]
    violations = [violation for rig in rigs for violation in rig.violations]
    for violation in violations[:20]:
        print(violation)
    print(f"disk-faults: cases {sum(rig.cases for rig in rigs)}, violations {len(violations)}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
