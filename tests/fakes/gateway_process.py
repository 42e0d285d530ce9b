"""A whole gateway process for kill tests: the product's own server and wallet, a fake chain given on the command line.

python -m tests.fakes.gateway_process PORT WALLET KEY EXPOSURE URL PAYEE OPERATOR
"""

import asyncio
import secrets
import sys
import time
from pathlib import Path

from node.client.carrier import World
from node.client.gateway.app import Gateway
from node.client.gateway.guard import Guard
from node.client.gateway.server import serve
from node.client.over_aiohttp import AiohttpTransport
from node.client.store import WalletWriter, open_engine
from node.client.wallet import Limits
from node.core.types import Address, Amount
from tests.fakes.fake_node import FakeChain
from tests.fakes.payers import make_payer


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


async def main(port: str, wallet: str, key: str, exposure: str, url: str, payee: str, operator: str) -> None:
    chain = FakeChain({(Address(bytes.fromhex(payee)), 1): Address(bytes.fromhex(operator))})
    limits = Limits(Amount(int(exposure)), Amount(int(exposure)), Amount(10**12))
    payer = make_payer(limits, RealClock(), secrets.token_bytes)
    world = World(WalletWriter(open_engine(Path(wallet))), chain, AiohttpTransport(guard=False))
    gateway = Gateway(payer, world, Guard(key, int(port)), lambda: (url,))
    await serve(gateway, None, lambda: print("ready", flush=True))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
