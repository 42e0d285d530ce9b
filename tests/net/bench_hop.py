"""`make bench-hop`: what one hop adds to the first token on loopback. Last line: `hop: +A ms p50, +B ms p99`.

The same stub engine answers the same requests, through its own node and through a node in front that has no engine;
direct and hopped requests take turns, so that the machine's other work disturbs both alike.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from node.cli.devmarket.market import Client, MarketPlan
from node.cli.devmarket.processes import Processes, free_port
from tests.fakes import tiny_tokenizer
from tests.net.figures import machine, percentile, write_figure
from tests.net.market import NetMarket, NodeWish
from tests.net.tls_front import make_certificate

MODEL = "stub"
FRONT, BACK = "front", "back"
WARM_UP = 10
ALLOTTED_SECONDS = 120.0
Fronts = dict[str, tuple[Path, Path]]
"""Node -> key and certificate, for those that peers reach by TLS."""


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


def build(folder: Path, processes: Processes, fronts: Fronts) -> NetMarket:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    ports = {name: free_port() for name in fronts}
    market = NetMarket(MarketPlan(folder, "", MODEL, tokenizer), processes, proxies=ports, fronts=fronts)
    market.begin()
    market.add_net_provider(NodeWish(BACK, slots=64, behaviour="tokens=4"))
    market.add_net_provider(NodeWish(FRONT, slots=0))
    market.open_for(("direct", "hopped"), is_loyal=True)
    return market


def cpu_seconds(market: NetMarket) -> float:
    """What both nodes have computed so far: unlike time, it does not grow while other programs have the processor."""
    ticks = 0
    for name in (BACK, FRONT):
        stat = Path(f"/proc/{market.processes.children[name].popen.pid}/stat").read_text(encoding="utf-8")
        ticks += sum(int(field) for field in stat.rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


async def measure(market: NetMarket, count: int) -> dict[str, Any]:
    """Direct and hopped in turns; then, for the nodes' CPU, blocks of each."""
    direct, hopped = market.clients
    taken: dict[str, list[float]] = {"direct": [], "hopped": []}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        await until_it_offloads(http, hopped)
        for number in range(WARM_UP + count):
            for name, client in (("direct", direct), ("hopped", hopped)):
                seconds = await first_token(http, client, number)
                if number >= WARM_UP:
                    taken[name].append(seconds * 1e3)
        cpu = [await cpu_of(http, market, client, count) for client in (direct, hopped)]
    return {**summary(taken), "cpu_ms_per_request": {"direct": cpu[0], "hopped": cpu[1]}}


async def cpu_of(http: httpx.AsyncClient, market: NetMarket, client: Client, count: int) -> float:
    """CPU milliseconds that both nodes spend on one whole request of a client; their idle work is in it."""
    before = cpu_seconds(market)
    for number in range(count):
        await first_token(http, client, number)
    return round((cpu_seconds(market) - before) / count * 1e3, 2)


def summary(taken: dict[str, list[float]]) -> dict[str, Any]:
    """All of them, and the quietest quarter of the pairs (by both together): there the machine disturbs least."""
    pairs = list(zip(taken["direct"], taken["hopped"], strict=True))
    quiet = sorted(pairs, key=sum)[: max(len(pairs) // 4, 1)]
    rows = {name: sorted(values) for name, values in taken.items()}
    rows["added"] = sorted(theirs - ours for ours, theirs in pairs)
    rows["added_quiet"] = sorted(theirs - ours for ours, theirs in quiet)
    return {
        name: {"p50_ms": round(percentile(values, 0.5), 2), "p99_ms": round(percentile(values, 0.99), 2)}
        for name, values in rows.items()
    }


async def run_market(count: int, *, with_tls: bool) -> dict[str, Any]:
    """One market, its nodes with or without TLS between them."""
    with tempfile.TemporaryDirectory(prefix="wwwserve-hop-") as temporary:
        folder = Path(temporary)
        fronts: Fronts = {BACK: make_certificate(folder, BACK)} if with_tls else {}
        trusted = {"SSL_CERT_FILE": str(fronts[BACK][1])} if with_tls else {}
        with Processes(folder, trusted) as processes:
            market = await asyncio.to_thread(build, folder, processes, fronts)
            try:
                return await measure(market, count)
            except BaseException:
                print(market.provider_logs())
                raise


async def main_run(count: int, *, with_tls: bool) -> dict[str, Any]:
    note = (
        "through each client's gateway, in turns; added_quiet: of the quarter of the pairs that took least; "
        "with_tls: the hop goes by https, which a Python process before the second node ends"
    )
    plain = await run_market(count, with_tls=False)
    sealed = {"with_tls": await run_market(count, with_tls=True)} if with_tls else {}
    return {**machine(), "command": "make bench-hop", "requests": count, "note": note, **plain, **sealed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tls", action="store_true", help="a second market, whose hop goes by https")
    options = parser.parse_args()
    said = asyncio.run(main_run(options.requests, with_tls=options.tls))
    write_figure(Path(__file__).resolve().parents[2] / "docs" / "figures" / "hop.json", said)
    print(json.dumps(said, indent=1))
    quiet = said["added_quiet"]["p50_ms"]
    print(f"hop, the quietest quarter: +{quiet} ms p50; load {said['machine']['load_average'][0]}")
    if options.tls:
        tls = said["with_tls"]["added"]
        print(f"hop by TLS: +{tls['p50_ms']} ms p50, +{tls['p99_ms']} ms p99")
    print(f"hop: +{said['added']['p50_ms']} ms p50, +{said['added']['p99_ms']} ms p99")


if __name__ == "__main__":
    main()
