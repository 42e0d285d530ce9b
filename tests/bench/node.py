"""The node under measurement: the lab node (real services, real SQLite ledger, FULL synchronisation, real payments).

python -m tests.bench.node ENGINE_URL TOKENS_FOLDER DATABASE     prints a JSON line when ready; ends with its stdin
"""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import uvloop

from node.api.runtime import tune_collector
from node.core.types import Seconds
from node.core.wire import offer_to_json
from node.services.parts import ServeSettings
from tests.lab.node import LabOptions, running_node


async def serve(engine: str, tokens: Path, database: Path) -> None:
    options = LabOptions(
        tokens,
        database,
        (engine,),
        serve=ServeSettings(max_concurrent=2_000, max_early_hangups=1_000_000),
        lease_seconds=Seconds(3_600),
        context_length=8_192,
        max_completion=4_096,
    )
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    async with running_node(options) as node:
        tune_collector()
        ready = {"url": node.base_url, "pid": os.getpid(), "offer": offer_to_json(node.offer)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        threading.Thread(target=_wait_for_end, args=(loop, done), daemon=True).start()
        await done.wait()


def _wait_for_end(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(done.set)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
