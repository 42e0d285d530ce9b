"""`make net-real`: three nodes, two real vLLM engines pinned to a core each, the third node without an engine.

Each node's own users come in bursts, one node after the other, with four sequences an engine (`--max-num-seqs 4`): the
slots are the scarce resource. The same bursts are played twice on the same market: every node alone (policy `single`),
then as a network (`adaptive`). Last line: `net-real: within S s: alone A of N, network B of N`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import openai

from node.cli.devmarket.market import ROOT, Client, MarketPlan
from node.cli.devmarket.processes import Processes, answers_ok, free_port, wait_until
from node.cli.engine import installed
from tests.net.figures import machine, percentile, write_figure
from tests.net.market import NetMarket, NodeWish
from tests.net.proxy import Proxy

NODES = ("node-1", "node-2", "node-3")
ENGINES = NODES[:2]
SLOTS = 4
ENGINE_SECONDS = 600.0
ALONE, TOGETHER = 'policy = "single"\noffload_margin = 0.0\n', 'policy = "adaptive"\noffload_margin = 0.0\n'
SETTLE_SECONDS = 8.0
"""For a changed policy file to be read, and for allotments to be final."""


async def ask(client: Client, model: str, tokens: int, number: int) -> float | None:
    """Seconds to the whole answer; None when it was refused or failed."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    began = time.monotonic()
    async with openai.AsyncOpenAI(
        base_url=client.gateway_url, api_key=client.api_key, max_retries=0, timeout=300, http_client=http
    ) as asker:
        try:
            stream = await asker.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": f"Tell a story about the number {number}."}],
                max_tokens=tokens,
                stream=True,
            )
            async for _ in stream:
                pass
        except openai.APIError:
            return None
    return time.monotonic() - began


async def play(market: NetMarket, args: argparse.Namespace) -> dict[str, list[float | None]]:
    """The bursts of all nodes, offset in time; what each request took."""

    async def bursts(place: int, client: Client) -> list[float | None]:
        taken: list[float | None] = []
        await asyncio.sleep(place * args.offset)
        for turn in range(args.rounds):
            numbers = range(turn * args.burst, (turn + 1) * args.burst)
            asked = (ask(client, market.plan.model, args.tokens, 1_000 * place + number) for number in numbers)
            taken += await asyncio.gather(*asked)
            await asyncio.sleep(args.offset)
        return taken

    played = await asyncio.gather(*(bursts(place, client) for place, client in enumerate(market.clients)))
    return dict(zip(NODES, played, strict=True))


def build(folder: Path, processes: Processes, proxies: dict[str, int]) -> NetMarket:
    """Engines first: they load while the market is made."""
    found = installed("base")["models"]["base"]
    urls = {}
    for core, name in enumerate(ENGINES):
        port = free_port()
        command = [sys.executable, str(ROOT / "scripts" / "engine.py"), "--port", str(port)]
        pinned = ["taskset", "-c", str(core), *command, "--max-running", str(SLOTS)]
        processes.start(f"{name}-engine", pinned)
        urls[name] = f"http://127.0.0.1:{port}"
    plan = MarketPlan(folder, "", found["served_name"], Path(found["path"]))
    market = NetMarket(plan, processes, proxies=proxies)
    market.begin()
    for name in NODES:
        slots = SLOTS if name in urls else 0
        market.add_net_provider(NodeWish(name, slots=slots, policy=TOGETHER, engine_url=urls.get(name, "")))
    for name in ENGINES:
        wait_until(processes.children[f"{name}-engine"], answers_ok(f"{urls[name]}/health"), ENGINE_SECONDS)
    return market


def row_of(taken: list[float | None], within: float) -> dict[str, Any]:
    """Every request is in the denominator."""
    answered = sorted(one for one in taken if one is not None)
    return {
        "requests": len(taken),
        "answered": len(answered),
        "within_slo": sum(one <= within for one in answered),
        "p50_s": round(percentile(answered, 0.5), 2),
        "p95_s": round(percentile(answered, 0.95), 2),
    }


def table_of(played: dict[str, list[float | None]], within: float) -> dict[str, Any]:
    together = [one for taken in played.values() for one in taken]
    return {name: row_of(taken, within) for name, taken in played.items()} | {"all": row_of(together, within)}


async def main_run(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wwwserve-real-") as temporary, Processes(Path(temporary)) as processes:
        proxies = {name: Proxy(0) for name in NODES}
        for proxy in proxies.values():
            await proxy.start()
        ports = {name: proxy.port for name, proxy in proxies.items()}
        market = await asyncio.to_thread(build, Path(temporary), processes, ports)
        for provider in market.providers:
            proxies[provider.name].point_to(provider.port)
        try:
            await asyncio.to_thread(market.open_for, [f"user-of-{name}" for name in NODES], is_loyal=True)
            await play(market, argparse.Namespace(**{**vars(args), "rounds": 1, "burst": 2, "offset": 1.0}))
            found = {}
            for name, policy in (("alone", ALONE), ("network", TOGETHER)):
                for node in NODES:
                    market.policy_file(node).write_text(policy)
                await asyncio.sleep(SETTLE_SECONDS)
                found[name] = table_of(await play(market, args), args.within)
        except BaseException:
            print(market.provider_logs())
            raise
        finally:
            await asyncio.gather(*(proxy.stop() for proxy in proxies.values()))
        return {**machine(), "command": "make net-real", "settings": vars(args), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="bursts of each node")
    parser.add_argument("--burst", type=int, default=12, help="requests of one burst")
    parser.add_argument("--offset", type=float, default=15.0, help="seconds between the nodes' bursts")
    parser.add_argument("--tokens", type=int, default=48, help="LLM tokens of an answer")
    parser.add_argument("--within", type=float, default=20.0, help="the SLO in seconds")
    args = parser.parse_args()
    said = asyncio.run(main_run(args))
    write_figure(Path(__file__).resolve().parents[2] / "docs" / "figures" / "net-real.json", said)
    print(json.dumps(said, indent=1))
    alone, network = said["alone"]["all"], said["network"]["all"]
    counts = (
        f"alone {alone['within_slo']} of {alone['requests']}, network {network['within_slo']} of {network['requests']}"
    )
    print(f"net-real: within {args.within:g} s: {counts}")
    raise SystemExit(0 if network["within_slo"] > alone["within_slo"] else 1)


if __name__ == "__main__":
    main()
