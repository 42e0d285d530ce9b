"""The fake keeps the port's promises.

The deep comparison with the SQL ledger is tests/property/test_account_ledger.py.
"""

import pytest

from node.core.errors import CeilingTooLow, LaneFrozen, LedgerUnavailable, StaleGeneration
from node.core.types import Seconds
from node.ports.ledger import Ledger, Stored
from tests.factories import PAYEE, PAYER, request_id
from tests.fakes.memory_ledger import MemoryLedger
from tests.ledgers import OWN, SIGNATURE, FakeClock, micros, outcome, wish


@pytest.fixture
def ledger() -> MemoryLedger:
    made = MemoryLedger(FakeClock())
    made.allot(PAYER, PAYEE, 1_000)
    return made


async def test_fake__admit_close_repeat__behaves_as_the_port_says(ledger: MemoryLedger) -> None:
    port: Ledger = ledger
    lease = await port.take_lease(Seconds(60))
    admission = wish(1, lease, ceiling=150)
    assert await port.admit(admission) is None
    assert await port.admit(admission) == Stored(admission)
    with pytest.raises(CeilingTooLow):
        await port.admit(wish(2, lease, ceiling=150))
    receipt = await port.close(admission, outcome(7), micros())
    assert await port.close(admission, outcome(9), micros()) == receipt
    await port.keep_signature(receipt, SIGNATURE)
    assert await port.load_request(PAYER, PAYER, request_id(1)) == Stored(admission, receipt, SIGNATURE)
    assert list(await port.load_receipts(OWN, micros(-1), 9)) == [Stored(admission, receipt, SIGNATURE)]
    assert list(await port.load_receipts_from(OWN, 0, 9)) == [Stored(admission, receipt, SIGNATURE)]
    assert list(await port.load_receipts_from(OWN, 1, 9)) == []
    assert await port.load_best_voucher(OWN) == (admission.voucher, admission.signature)


async def test_fake__down_or_without_lease__is_unavailable(ledger: MemoryLedger) -> None:
    with pytest.raises(LedgerUnavailable):
        await ledger.admit(wish(1, 1))
    lease = await ledger.take_lease(Seconds(60))
    ledger.is_down = True
    with pytest.raises(LedgerUnavailable):
        await ledger.admit(wish(1, lease))


async def test_fake__generation_changes__old_vouchers_are_stale_and_lanes_frozen(ledger: MemoryLedger) -> None:
    lease = await ledger.take_lease(Seconds(60))
    await ledger.admit(wish(1, lease))
    ledger.set_generation(PAYEE, 2)
    with pytest.raises(StaleGeneration):
        await ledger.admit(wish(2, lease))
    from dataclasses import replace

    with pytest.raises(LaneFrozen):
        await ledger.admit(wish(2, lease, key=replace(OWN, generation=2)))
