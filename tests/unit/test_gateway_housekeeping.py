"""The gateway's housekeeping goes on whatever a payee or an RPC endpoint says."""

import asyncio
import contextlib

import pytest

from node.client.gateway import server
from node.core.errors import ChainUnavailable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("fault", [KeyError("transactionHash"), ChainUnavailable("down"), RecursionError()])
async def test_housekeeping__one_part_fails_however__the_rest_and_the_next_round_still_run(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    rounds = []

    async def failing_sweep(*_: object) -> None:
        raise fault

    async def watch() -> None:
        rounds.append("watched")
        raise fault

    class Idle:
        payer = world = None

        def live(self) -> set[bytes]:
            return set()

    monkeypatch.setattr(server, "sweep", lambda *_: None)
    monkeypatch.setattr(server, "run", failing_sweep)
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.001)
    task = asyncio.create_task(server._sweep_now_and_then(Idle(), watch))  # type: ignore[arg-type]
    await asyncio.sleep(0.1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len(rounds) > 2
