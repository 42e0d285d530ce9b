"""The same machine over the real SQLite ledger, restarted in between.

At each end the books are recounted from their rows.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from sqlalchemy import update

from node.adapters.ledger import Books, migrate, open_ledger
from node.adapters.ledger.derived import put_claimed
from node.adapters.ledger.tables import pair
from node.adapters.ledger.totals import check_totals
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.messages import Receipt
from node.core.types import Amount, LaneKey, Micros, Seconds
from tests.factories import PAYEE, PAYER
from tests.ledgers import FakeClock, seed_pair, seed_signer
from tests.property.ledger_moves import CAPS, LANES, AccountMachine, Ground


class SqlGround:
    """An open ledger on a loop of its own."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._file = folder / "ledger.db"
        shutil.copy(template, self._file)
        self._loop = asyncio.new_event_loop()
        self._clock = FakeClock()
        self._books = self._open()
        self._loop.run_until_complete(self._books.ledger.take_lease(Seconds(10**6)))

    def _open(self) -> Books:
        async def begin() -> Books:
            books = open_ledger(f"sqlite:///{self._file}", self._clock, "machine")
            books.start()
            return books

        return self._loop.run_until_complete(begin())

    def admit(self, admission: Admission) -> object:
        return self._loop.run_until_complete(self._books.ledger.admit(admission))

    def close(self, admission: Admission, ending: Outcome, now: Micros) -> Receipt:
        return self._loop.run_until_complete(self._books.ledger.close(admission, ending, now))

    def settle(self, key: LaneKey, claimed: int) -> None:
        work = self._books.store.write_with(put_claimed, key.payer + key.payee + key.lane, Amount(claimed))
        self._loop.run_until_complete(work)

    def allot(self, cover: int) -> None:
        self._loop.run_until_complete(self._books.store.write_with(_set_cover, cover))

    def restart(self) -> None:
        """A new process would see what this one committed: caches are gone, the old lease lives on."""
        self._loop.run_until_complete(self._books.stop())
        ends = self._books.ledger._lease_ends
        self._books = self._open()
        self._books.ledger._lease_ends.update(ends)

    def lane(self, key: LaneKey) -> LaneState | None:
        return self._loop.run_until_complete(self._books.ledger.load_lane(key))

    def pair(self) -> PairState:
        found = self._loop.run_until_complete(self._books.ledger.load_pair(PAYER, PAYEE))
        assert found is not None
        return found

    def shut(self) -> None:
        findings = self._loop.run_until_complete(self._books.store.read_with(check_totals))
        self._loop.run_until_complete(self._books.stop())
        self._loop.close()
        assert findings == []


def _set_cover(connection: object, cover: int) -> None:
    connection.execute(update(pair).values(cover=cover))


class LedgerMachine(AccountMachine):
    """Each example gets a copy of a migrated database."""

    folder = Path(tempfile.mkdtemp(prefix="wwwserve-machine-"))

    def make_ground(self) -> Ground:
        template = self.folder / "template.db"
        if not template.exists():
            url = f"sqlite:///{template}"
            migrate(url)
            seed_pair(url, 0)
            for key in LANES[1:]:
                seed_signer(url, key.lane, PAYER, CAPS[key.lane])
        return SqlGround(template, Path(tempfile.mkdtemp(dir=self.folder)))

    @classmethod
    def clean(cls) -> None:
        shutil.rmtree(cls.folder, ignore_errors=True)


TestAccountLedger = LedgerMachine.TestCase
TestAccountLedger.tearDownClass = classmethod(lambda _: LedgerMachine.clean())
DEEP = bool(os.environ.get("WWWSERVE_DEEP"))
TestAccountLedger.settings = settings(
    max_examples=300 if DEEP else 8,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
