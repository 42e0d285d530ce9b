"""`make net-test`: five live nodes under bursts while nodes join, drain, leave, are killed and partitioned.

Last line: `net-test: requests R, lost L, double-charged D`. A request is lost when the client, asking again as any
OpenAI client does, never got its answer. Double-charged counts come from the auditor's JSON (one request charged twice)
and from the client's own wallet (one body with two complete receipts).
"""

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from node.cli.devmarket.market import ROOT, Client, MarketPlan, Provider
from node.cli.devmarket.processes import Processes
from tests.fakes import tiny_tokenizer
from tests.net.figures import machine, percentile, write_figure
from tests.net.links import whose
from tests.net.market import PRICES, NetMarket, NodeWish
from tests.net.proxy import Link, Proxy

MODEL, SECOND_MODEL = "stub", "stub-two"
BEFORE_AND_AFTER = 2
CHEAPER = (PRICES[0] // 2, PRICES[1] // 2)
NAMES = ("node-1", "node-2", "node-3", "node-4", "node-5")
BURST, REST = 6, 1.0
"""Requests that come at once, and the seconds between bursts."""
GIVE_UP_SECONDS = 240.0
NEAR_SECONDS = 6.0
"""Requests under way within so many seconds after an event count as served during fail-over."""
TWICE = "AUD-051"


@dataclass(slots=True)
class Asked:
    """One request as its client saw it."""

    began: float
    ended: float = 0.0
    tries: int = 0
    is_answered: bool = False


@dataclass(slots=True)
class Run:
    """What happened."""

    asked: list[Asked] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def note(self, what: str) -> None:
        self.events.append((time.monotonic(), what))
        print(f"  {what}", flush=True)


async def ask(client: openai.AsyncOpenAI, dice: random.Random, run: Run) -> None:
    """One request, asked again until it is answered."""
    one = Asked(time.monotonic())
    run.asked.append(one)
    content = f"number {dice.randrange(10**12)}"
    streams = dice.random() < 0.7
    while time.monotonic() < one.began + GIVE_UP_SECONDS:
        one.tries += 1
        try:
            await (_stream if streams else _plain)(client, content)
        except openai.APIError as exc:
            run.errors[type(exc).__name__] += 1
            await asyncio.sleep(0.5)
            continue
        one.is_answered = True
        break
    one.ended = time.monotonic()


async def _plain(client: openai.AsyncOpenAI, content: str) -> None:
    messages: Any = [{"role": "user", "content": content}]
    await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=32)


async def _stream(client: openai.AsyncOpenAI, content: str) -> None:
    messages: Any = [{"role": "user", "content": content}]
    stream = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=32, stream=True)
    async for _ in stream:
        pass


async def bursts(client: Client, seed: int, run: Run, over: asyncio.Event) -> None:
    """Bursts until it is over; then what is still asked is waited for."""
    dice = random.Random(seed)
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    tasks: list[asyncio.Task[None]] = []
    async with openai.AsyncOpenAI(
        base_url=client.gateway_url, api_key=client.api_key, max_retries=0, timeout=GIVE_UP_SECONDS, http_client=http
    ) as asker:
        while not over.is_set():
            tasks += [asyncio.create_task(ask(asker, dice, run)) for _ in range(BURST)]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), REST * dice.uniform(0.5, 1.5))
        await asyncio.gather(*tasks)


async def churn(market: NetMarket, proxies: dict[str, Proxy], run: Run, unit: float) -> None:
    """Everything that can happen to nodes, one after the other; `unit` seconds apart."""
    by_name = {provider.name: provider for provider in market.providers}

    async def restart(name: str) -> None:
        await asyncio.to_thread(market.start_provider, by_name[name])
        run.note(f"{name} is back")

    await asyncio.sleep(unit)
    await asyncio.to_thread(market.change_offer, by_name["node-5"], CHEAPER, SECOND_MODEL)
    run.note("node-5 halves its prices and offers one model more")
    await asyncio.to_thread(market.add_stake, by_name["node-4"])
    run.note("node-4 doubles its stake")
    await asyncio.sleep(unit)
    run.note("node-3 is cut off from its peers")
    proxies["node-3"].set(Link.SILENT)
    await asyncio.sleep(unit)
    proxies["node-3"].set(Link.OPEN)
    run.note("node-3 can be reached again")
    await asyncio.sleep(unit)
    run.note("the link between node-1 and node-5 is cut, each is there for everybody else")
    _each_way(proxies, ("node-1", "node-5"), Proxy.cut)
    await asyncio.sleep(unit)
    _each_way(proxies, ("node-1", "node-5"), Proxy.mend)
    run.note("the link is mended")
    run.note("node-4 is killed")
    await asyncio.to_thread(market.processes.children["node-4"].kill)
    await asyncio.sleep(unit)
    await restart("node-4")
    run.note("node-5 drains")
    market.policy_file("node-5").write_text("offload_margin = 0.0\ndraining = true\n")
    await asyncio.sleep(unit)
    market.policy_file("node-5").write_text("offload_margin = 0.0\n")
    run.note("node-5 takes work again")
    run.note("node-2 leaves")
    await asyncio.to_thread(market.processes.children["node-2"].stop)
    await asyncio.sleep(unit)
    await restart("node-2")
    run.note("node-1, a client's home, is killed")
    await asyncio.to_thread(market.processes.children["node-1"].kill)
    await asyncio.sleep(unit)
    await restart("node-1")
    await asyncio.sleep(unit)


def _each_way(proxies: dict[str, Proxy], link: tuple[str, str], act: Callable[[Proxy, str], None]) -> None:
    one, other = link
    act(proxies[one], other)
    act(proxies[other], one)


def build(folder: Path, processes: Processes, proxies: dict[str, int]) -> NetMarket:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    market = NetMarket(MarketPlan(folder, "", MODEL, tokenizer, block_seconds=0.5), processes, proxies=proxies)
    market.begin()
    for name in NAMES:
        market.add_net_provider(NodeWish(name))
        print(f"  {name} is registered", flush=True)
    return market


def paid_twice(market: NetMarket) -> int:
    """Bodies of the clients' that ended in two complete, charged receipts."""
    twice = 0
    query = (
        "SELECT count(*) FROM (SELECT body_hash FROM purchase JOIN receipt USING (payer, payee, lane, request_id) "
        "WHERE json_extract(message, '$.status') = 1 AND json_extract(message, '$.charge') <> '0' "
        "GROUP BY body_hash HAVING count(*) > 1)"
    )
    for client in market.clients:
        with contextlib.closing(sqlite3.connect(client.wallet)) as wallet:
            twice += wallet.execute(query).fetchone()[0]
    return twice


def offloads(market: NetMarket) -> int:
    """Answers that nodes bought from each other."""
    bought = 0
    for provider in market.providers:
        file = market.plan.folder / f"{provider.name}-offload.db"
        with contextlib.closing(sqlite3.connect(file)) as wallet:
            bought += wallet.execute(
                "SELECT count(*) FROM receipt WHERE json_extract(message, '$.charge') <> '0'"
            ).fetchone()[0]
    return bought


def offers_of(market: NetMarket, name: str) -> dict[str, Any]:
    """How many offers a node has had in force, and the prompt prices it has sold at."""
    with contextlib.closing(sqlite3.connect(market.plan.folder / f"{name}.db")) as books:
        (count,) = books.execute("SELECT count(*) FROM offer").fetchone()
        prices = books.execute("SELECT DISTINCT CAST(price_prompt AS INTEGER) FROM agreement ORDER BY 1").fetchall()
    return {"in_force": count, "sold_at": [price for (price,) in prices]}


def check_draws(market: NetMarket) -> dict[str, Any]:
    """Some draws of each node, derived again by the auditor's own program from outside."""
    found: dict[str, Any] = {"checked": 0, "providers_looked_at": 0, "findings": []}
    for provider in market.providers:
        with contextlib.closing(sqlite3.connect(market.plan.folder / f"{provider.name}.db")) as books:
            rows = books.execute("SELECT DISTINCT request_id FROM draw ORDER BY request_id LIMIT 2").fetchall()
        for (request_id,) in rows:
            said = _check_draw(market, "0x" + request_id.hex(), provider)
            found["checked"] += 1
            found["providers_looked_at"] += said.get("looked_at", 0)
            found["findings"] += said.get("findings", [said])
    return found


def _check_draw(market: NetMarket, request_id: str, provider: Provider) -> dict[str, Any]:
    command = [
        *(sys.executable, str(ROOT / "scripts" / "audit.py"), "draw", request_id, "--dispatcher", provider.owner),
        *("--deployment", str(market.deployment), "--rpc", market.chain.url, "--allow-private", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def report(market: NetMarket, run: Run, audit: dict[str, Any]) -> dict[str, Any]:
    taken = sorted(one.ended - one.began for one in run.asked if one.is_answered)
    near = sorted(
        one.ended - one.began
        for one in run.asked
        if one.is_answered and any(one.began < at + NEAR_SECONDS and one.ended > at for at, _ in run.events)
    )
    return {
        **machine(),
        "command": "make net-test",
        "requests": len(run.asked),
        "lost": sum(not one.is_answered for one in run.asked),
        "double_charged": audit["findings_by_code"].get(TWICE, 0) + paid_twice(market),
        "offloaded": offloads(market),
        "asked_again": sum(one.tries > 1 for one in run.asked),
        "errors_seen": dict(run.errors),
        "seconds": {"p50": round(percentile(taken, 0.5), 3), "p99": round(percentile(taken, 0.99), 3)},
        "seconds_during_failover": {"p50": round(percentile(near, 0.5), 3), "p99": round(percentile(near, 0.99), 3)},
        "offers_of_node_5": offers_of(market, "node-5"),
        "events": [what for _, what in run.events],
        "audit": {"ok": audit["ok"], "findings_by_code": audit["findings_by_code"], "counts": audit["counts"]},
    }


async def main_run(unit: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="wwwserve-net-") as temporary, Processes(Path(temporary)) as processes:
        run, over = Run(), asyncio.Event()

        def identify(ports: Collection[int]) -> dict[int, str]:
            children = processes.children
            return whose(ports, {name: children[name].popen.pid for name in NAMES if name in children})

        proxies = {name: Proxy(0, identify) for name in NAMES}
        for proxy in proxies.values():
            await proxy.start()
        ports = {name: proxy.port for name, proxy in proxies.items()}
        market = await asyncio.to_thread(build, Path(temporary), processes, ports)
        for provider in market.providers:
            proxies[provider.name].point_to(provider.port)
        try:
            await asyncio.to_thread(market.open_for, ("client-1", "client-2"))
            run.note("everybody is there")
            loads = [
                asyncio.create_task(bursts(client, seed * 10 + number, run, over))
                for number, client in enumerate(market.clients)
            ]
            await churn(market, proxies, run, unit)
            over.set()
            await asyncio.gather(*loads)
            await asyncio.sleep(3 * market.plan.settle_seconds)
            audit = await asyncio.to_thread(market.audit)
            draws = await asyncio.to_thread(check_draws, market)
            return {**report(market, run, audit), "draws": draws}
        except BaseException:
            print(market.provider_logs())
            raise
        finally:
            await asyncio.gather(*(proxy.stop() for proxy in proxies.values()))


def is_clean(said: dict[str, Any]) -> bool:
    """Nothing lost, nothing charged twice, nothing for the auditor to object to, and the new offer came into force."""
    wrongs = [said["lost"], said["double_charged"], said["draws"]["findings"], not said["audit"]["ok"]]
    return not any(wrongs) and said["offers_of_node_5"]["in_force"] == BEFORE_AND_AFTER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit", type=float, default=8.0, help="seconds between events")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    said = asyncio.run(main_run(args.unit, args.seed))
    write_figure(Path(__file__).resolve().parents[2] / "docs" / "figures" / "net.json", said)
    print(json.dumps(said, indent=1))
    line = f"requests {said['requests']}, lost {said['lost']}, double-charged {said['double_charged']}"
    print(f"net-test: {line}")
    raise SystemExit(0 if is_clean(said) else 1)


if __name__ == "__main__":
    main()
