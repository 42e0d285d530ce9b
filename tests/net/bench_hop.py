"""`make bench-hop`: what one hop adds to the first token on loopback. Last line: `hop: +A ms p50, +B ms p99`.

The same stub engine answers the same requests, through its own node and through a node in front that has no engine;
direct and hopped requests take turns, so that the machine's other work disturbs both alike.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from node.cli.devmarket.market import Client, MarketPlan
from node.cli.devmarket.processes import Processes
from tests.fakes import tiny_tokenizer
from tests.net.figures import machine, percentile, write_figure
from tests.net.market import NetMarket, NodeWish
from tests.net.proxy import Proxy

MODEL = "stub"
FRONT, BACK = "front", "back"
WARM_UP = 10
ALLOTTED_SECONDS = 120.0


async def first_token(http: httpx.AsyncClient, client: Client, number: int) -> float:
    """Seconds to the first event of a streamed answer through a client's gateway."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"number {number}"}],
        "max_tokens": 4,
        "stream": True,
    }
    began = time.perf_counter()
    url, headers = f"{client.gateway_url}/chat/completions", {"authorization": f"Bearer {client.api_key}"}
    async with http.stream("POST", url, json=body, headers=headers) as reply:
        reply.raise_for_status()
        taken = 0.0
        async for _ in reply.aiter_bytes():
            taken = taken or time.perf_counter() - began
    return taken


async def until_it_offloads(http: httpx.AsyncClient, client: Client) -> None:
    """The front node can buy once its allotment is final and its peer is heard of."""
    deadline = time.monotonic() + ALLOTTED_SECONDS
    while time.monotonic() < deadline:
        try:
            await first_token(http, client, 0)
        except httpx.HTTPError:
            await asyncio.sleep(1.0)
            continue
        return
    raise SystemExit("hop: the front node never offloaded")


def build(folder: Path, processes: Processes, proxies: dict[str, int]) -> NetMarket:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    market = NetMarket(MarketPlan(folder, "", MODEL, tokenizer), processes, proxies=proxies)
    market.begin()
    market.add_net_provider(NodeWish(BACK, slots=64, behaviour="tokens=4"))
    market.add_net_provider(NodeWish(FRONT, slots=0))
    return market


async def measure(market: NetMarket, count: int) -> dict[str, Any]:
    direct, hopped = market.clients
    taken: dict[str, list[float]] = {"direct": [], "hopped": []}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        await until_it_offloads(http, hopped)
        for number in range(WARM_UP + count):
            for name, client in (("direct", direct), ("hopped", hopped)):
                seconds = await first_token(http, client, number)
                if number >= WARM_UP:
                    taken[name].append(seconds * 1e3)
    added = sorted(theirs - ours for ours, theirs in zip(taken["direct"], taken["hopped"], strict=True))
    rows = {name: sorted(values) for name, values in taken.items()} | {"added": added}
    return {
        name: {"p50_ms": round(percentile(values, 0.5), 2), "p99_ms": round(percentile(values, 0.99), 2)}
        for name, values in rows.items()
    }


async def main_run(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wwwserve-hop-") as temporary, Processes(Path(temporary)) as processes:
        proxies = {BACK: Proxy(0), FRONT: Proxy(0)}
        for proxy in proxies.values():
            await proxy.start()
        ports = {name: proxy.port for name, proxy in proxies.items()}
        market = await asyncio.to_thread(build, Path(temporary), processes, ports)
        for provider in market.providers:
            proxies[provider.name].point_to(provider.port)
        try:
            await asyncio.to_thread(market.open_for, ("direct", "hopped"), is_loyal=True)
            rows = await measure(market, count)
        except BaseException:
            print(market.provider_logs())
            raise
        finally:
            await asyncio.gather(*(proxy.stop() for proxy in proxies.values()))
        note = "through each client's gateway; the hop passes a Python proxy too; a bid is asked for every request"
        return {**machine(), "command": "make bench-hop", "requests": count, "note": note, **rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    said = asyncio.run(main_run(parser.parse_args().requests))
    write_figure(Path(__file__).resolve().parents[2] / "docs" / "figures" / "hop.json", said)
    print(json.dumps(said, indent=1))
    print(f"hop: +{said['added']['p50_ms']} ms p50, +{said['added']['p99_ms']} ms p99")


if __name__ == "__main__":
    main()
