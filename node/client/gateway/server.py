"""Runs a gateway: listens on the loopback, sweeps the wallet at start and now and then, and stops in order."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

from node.client.carrier import run
from node.client.gateway.app import Gateway
from node.client.sweep import sweep
from node.core.errors import BadConfig, WwwserveError

LOOPBACK = "127.0.0.1"
"""Never another address: whoever reaches the gateway spends the owner's money."""
SWEEP_SECONDS = 30.0
GRACE_SECONDS = 5.0
"""What is in flight at a stop may end within this; the rest is swept at the next start."""
log = logging.getLogger(__name__)


async def serve(gateway: Gateway, also: Callable[[], Awaitable[None]] | None, on_ready: Callable[[], None]) -> None:
    """Until SIGINT or SIGTERM. `also` is called with every sweep (watching settlements). Raises BadConfig."""
    runner = web.AppRunner(gateway.application(), handler_cancellation=True, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, gateway.guard.port, shutdown_timeout=GRACE_SECONDS).start()
    except OSError as exc:
        await runner.cleanup()
        await gateway.close()
        hint = "another program has it (another gateway?): choose another --port"
        raise BadConfig(f"cannot listen on {LOOPBACK}:{gateway.guard.port}: {exc.strerror}; {hint}") from exc
    sweeping = asyncio.create_task(_sweep_now_and_then(gateway, also))
    try:
        await _until_stopped(on_ready)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await runner.cleanup()
        await gateway.close()


async def _until_stopped(on_ready: Callable[[], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    on_ready()
    await stopped.wait()


async def _sweep_now_and_then(gateway: Gateway, also: Callable[[], Awaitable[None]] | None) -> None:
    while True:
        await _try_to(lambda: run(sweep(gateway.payer, gateway.live()), gateway.world))
        if also is not None:
            await _try_to(also)
        await asyncio.sleep(SWEEP_SECONDS)


async def _try_to(work: Callable[[], Awaitable[object]]) -> None:
    """One piece of housekeeping; nothing that a payee or an endpoint says may end the others, or the next round."""
    try:
        await work()
    except WwwserveError as exc:
        log.warning("housekeeping failed, next try in %s s: %s", SWEEP_SECONDS, exc.message)
    except Exception:  # the outermost loop of background work (house rule 18)
        log.exception("housekeeping failed, next try in %s s", SWEEP_SECONDS)
