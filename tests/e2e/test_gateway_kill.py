"""kill -9 of the gateway process at random moments: nothing is paid twice, the exposure holds after every reload."""

import asyncio
import random
import signal
import sys

import aiohttp
import pytest

from node.client.store import Wallet, open_engine
from tests.e2e.test_gateway import ASK, KEY, free_port
from tests.fakes.fake_node import FakeChain, FakeNode

EXPOSURE = 5_000
KILLS = 5
CALLERS = 4


class Victim:
    """The gateway as a process of its own."""

    def __init__(self, node, wallet) -> None:
        self.node, self.wallet, self.port = node, wallet, free_port()
        self.process = None

    async def start(self) -> None:
        arguments = [self.port, self.wallet, KEY, EXPOSURE, self.node.url, self.node.payee.hex()]
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.fakes.gateway_process"),
            *map(str, arguments),
            self.node.operator.address.hex(),
            stdout=asyncio.subprocess.PIPE,
        )
        assert await asyncio.wait_for(self.process.stdout.readline(), 40) == b"ready\n"

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()


async def ask_until_answered(victim, number, answered) -> None:
    """A caller that retries like the official package, until it has its answer or is told to stop."""
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": f"caller-{number}"}
    body = {**ASK, "messages": [{"role": "user", "content": f"question number {number}"}], "stream": bool(number % 2)}
    url = f"http://127.0.0.1:{victim.port}/v1/chat/completions"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while True:
            try:
                async with session.post(url, json=body, headers=headers) as reply:
                    text = await reply.text()
                    if reply.status == 200 and (not body["stream"] or "[DONE]" in text):
                        answered[number] = "answered"
                        return
                    if reply.headers.get("x-should-retry") == "false":
                        answered[number] = "lost"  # paid once, and the answer died with the gateway
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)


def check_books(node, wallet) -> None:
    """What a reload of the wallet says, against what the node was really given."""
    engine = open_engine(wallet)
    purses = Wallet(engine).run(lambda b: b.load_purses())
    engine.dispose()
    for purse in purses:
        signed = max((v.ceiling for v, _ in node.best.values()), default=0)
        assert signed <= purse.ceiling, "a ceiling was signed before it was durable"
        assert purse.ceiling - purse.verified <= EXPOSURE
        assert purse.verified <= node.charged


@pytest.mark.timeout(180)
async def test_gateway__killed_again_and_again_under_load__pays_every_request_at_most_once(tmp_path):
    dice = random.Random(7)
    node = await FakeNode(FakeChain(), words=12).start()
    node.pause = 0.03
    victim, wallet = Victim(node, tmp_path / "wallet.db"), tmp_path / "wallet.db"
    answered: dict[int, str] = {}
    await victim.start()
    callers = [asyncio.create_task(ask_until_answered(victim, n, answered)) for n in range(CALLERS * (KILLS + 1))]
    try:
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0.05, 0.6))
            await victim.kill()
            check_books(node, wallet)
            await victim.start()
        await asyncio.wait_for(asyncio.gather(*callers), 60)
    finally:
        for caller in callers:
            caller.cancel()
        await victim.kill()
        await node.stop()
    check_books(node, wallet)
    complete = [
        node.bodies[s.receipt.request_id] for s in node.requests.values() if s.receipt and s.receipt.status == 1
    ]
    assert len(complete) == len(set(complete)), "a request was served and paid whole twice"
    assert sorted(answered) == list(range(CALLERS * (KILLS + 1)))
    assert "answered" in answered.values()
