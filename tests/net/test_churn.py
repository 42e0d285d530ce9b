"""`make net-test` with shorter pauses, in every run of the tests: five live nodes, all that can happen to them."""

import asyncio

import pytest

from tests.net.churn import is_clean, main_run

UNIT_SECONDS = 2.5
"""Between events: dead nodes are noticed and offers take effect in less."""


@pytest.mark.timeout(900)
def test_five_nodes__join_drain_leave_die_and_are_cut_off__no_request_is_lost_or_charged_twice() -> None:
    said = asyncio.run(main_run(UNIT_SECONDS, seed=7))
    assert is_clean(said), said
    assert said["requests"] >= 100
    assert said["offloaded"] > 0
    assert said["draws"]["checked"] >= 5
