"""`make duels-live`: duels end to end on anvil and the real contract, as processes, and the auditor over all of it.

One dispatcher without an engine, three executors under one model's name (the model, a slightly degraded copy, a badly
degraded one), judges of different controllers that share one reference engine. Every user's request is duelled; who
answers first is named in turn, so that each pair meets. `--words` puts engines without a model in their place.
Last line: `duels-live: duels D, order O, convictions C, wrong W`; O is the executors, best rating first.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from node.cli.devmarket.market import ROOT, MarketPlan
from node.cli.devmarket.processes import Processes, answers_ok, free_port, wait_until
from node.cli.engine import installed
from node.core.hashing import keccak
from tests.duels.court_market import ALONE, DISPATCHER, CourtMarket, CourtTimes
from tests.net.figures import machine, write_figure
from tests.net.proxy import Proxy

EXECUTORS = {"whole": "base", "slight": "noise0.1", "bad": "noise0.25"}
WORD_QUALITY = {"whole": 1.0, "slight": 0.8, "bad": 0.1}
JUDGES = ("judge-1", "judge-2", "judge-3", "judge-4", "judge-5")
ENGINE_SECONDS, REQUEST_SECONDS, END_SECONDS = 900.0, 300.0, 1800.0
OPENED = "Opened(bytes32,address,address,address,bytes32,bytes32,bytes32,bytes32,bytes32,uint8,uint32,uint64,uint96)"
FINALIZED = "Finalized(bytes32,uint8,uint128,uint128,uint128,uint128,uint128)"
MOST_WAITING = 6
"""Answered requests whose duel is not open yet, before more are asked."""
TOPICS = ("a river", "the moon", "bread", "a bridge", "rain", "a library", "iron", "the sea", "a clock", "an orchard")


def start_engines(processes: Processes, model: str, *, words: bool) -> dict[str, str]:
    """name -> URL. The reference engine of the judges is the whole executor's: one process fewer, the same weights."""
    urls = {}
    for seed, (name, weights) in enumerate(EXECUTORS.items()):
        port = free_port()
        real = ["-m", "tests.duels.engine_as", "--model", weights, "--as-name", model, "--port", str(port)]
        fake = ["-m", "tests.duels.word_engine", "--port", str(port), "--model", model, "--seed", str(seed)]
        command = [*fake, "--quality", str(WORD_QUALITY[name])] if words else real
        processes.start(f"{name}-engine", [sys.executable, *command])
        urls[name] = f"http://127.0.0.1:{port}"
    return urls


class Run:
    """One run from building to the audit."""

    def __init__(self, args: argparse.Namespace, market: CourtMarket) -> None:
        self.args, self.market = args, market

    def until_epoch(self, epoch: int) -> None:
        """The chain's clock."""
        while self.chain_time() // self.market.times.epoch < epoch:
            time.sleep(1.0)

    def chain_time(self) -> int:
        return int(self.market.chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    async def ask(self, number: int) -> bool:
        """One user's request, answered first by the executor that is drawn first."""
        client = self.market.client
        topic = TOPICS[number % len(TOPICS)]
        body = {
            "model": self.market.plan.model,
            "messages": [{"role": "user", "content": f"Write two sentences about {topic} (number {number})."}],
            "max_tokens": self.args.tokens,
            "temperature": 0.7,
            "stream": True,
        }
        headers = {"authorization": f"Bearer {client.api_key}"}
        async with httpx.AsyncClient(trust_env=False, timeout=REQUEST_SECONDS) as http:
            reply = await http.post(f"{client.gateway_url}/chat/completions", json=body, headers=headers)
        return reply.status_code == httpx.codes.OK and b"[DONE]" in reply.content

    async def play(self) -> int:
        """Ask until enough duels are opened; nobody asks when an epoch is about to end. How many were answered."""
        answered = number = epoch = unopened = 0
        while (opened := self.count(OPENED)) < self.args.duels and number < 3 * self.args.duels:
            now, length = self.chain_time(), self.market.times.epoch
            if now // length != epoch:  # what an epoch leaves unopened is dropped
                epoch, unopened = now // length, answered - opened
            if length - now % length < self.args.tail or answered - opened - unopened >= MOST_WAITING:
                await asyncio.sleep(1.0)
                continue
            answered += await self.ask(number)
            number += 1
            await asyncio.sleep(self.args.pause)
        return answered

    def count(self, signature: str) -> int:
        return len(self.logs(signature))

    def logs(self, signature: str) -> list[dict[str, Any]]:
        court = json.loads(self.market.deployment.read_text())["duels"]
        wanted = {"address": court, "topics": ["0x" + keccak(signature.encode()).hex()], "fromBlock": "0x0"}
        return list(self.market.chain.call("eth_getLogs", wanted))

    def until_over(self) -> None:
        """Every duel ends by itself, and its end becomes final."""
        end = time.monotonic() + END_SECONDS
        while self.count(FINALIZED) < self.count(OPENED):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.count(OPENED) - self.count(FINALIZED)} duels have no end")
            time.sleep(1.0)
        time.sleep(10 * self.market.plan.block_seconds + 10.0)

    def ratings(self) -> dict[str, dict[str, Any]]:
        """What the dispatcher routes by, by the executor's name."""
        names = {self.market.provider(name).owner.lower(): name for name in EXECUTORS}
        shown = httpx.get(f"{self.market.provider(DISPATCHER).url}/v1/ratings", trust_env=False, timeout=30.0).json()
        return {names[row["provider"]]: row for row in shown["ratings"] if row["provider"] in names}

    def audited(self) -> tuple[int, int]:
        """(findings about the court in the whole audit, single duels that do not check)."""
        findings = [one for one in self.market.audit()["findings"] if one["code"].startswith(("AUD-08", "AUD-09"))]
        ids = [log["topics"][1] for log in self.logs(OPENED)[: self.args.singly]]
        return len(findings), sum(not self.market.audit_duel(one) for one in ids)


async def main_run(args: argparse.Namespace) -> dict[str, Any]:
    found = installed("base")["models"]["base"]
    names = (DISPATCHER, *EXECUTORS, *JUDGES)
    with tempfile.TemporaryDirectory(prefix="wwwserve-duels-") as temporary, Processes(Path(temporary)) as processes:
        engines = start_engines(processes, found["served_name"], words=args.words)
        proxies = {name: Proxy(0) for name in names}
        for proxy in proxies.values():
            await proxy.start()
        plan = MarketPlan(Path(temporary), "", found["served_name"], Path(found["path"]), block_seconds=1.0)
        market = CourtMarket(
            plan,
            processes,
            proxies={name: proxy.port for name, proxy in proxies.items()},
            reference=engines["whole"],
            executors=engines,
            judges=JUDGES,
            times=CourtTimes(epoch=args.epoch, commit=args.commit, reveal=args.reveal),
            policy=ALONE + "candidates = 1\n",
        )
        run = Run(args, market)
        try:
            return await _run(run, proxies, engines)
        except BaseException:
            print(market.provider_logs())
            raise
        finally:
            await asyncio.gather(*(proxy.stop() for proxy in proxies.values()))


async def _run(run: Run, proxies: dict[str, Proxy], engines: dict[str, str]) -> dict[str, Any]:
    market = run.market
    await asyncio.to_thread(market.build)
    for provider in market.providers:
        proxies[provider.name].point_to(provider.port)
    for name, url in engines.items():
        child = market.processes.children[f"{name}-engine"]
        await asyncio.to_thread(wait_until, child, answers_ok(f"{url}/health"), ENGINE_SECONDS)
    await asyncio.to_thread(market.open_for, ["user"], is_loyal=True)
    first = run.chain_time() // market.times.epoch + 2
    await asyncio.to_thread(run.until_epoch, first)
    began = time.monotonic()
    answered = await run.play()
    await asyncio.to_thread(run.until_over)
    findings, wrong = await asyncio.to_thread(run.audited)
    ratings = run.ratings()
    order = sorted(ratings, key=lambda name: -ratings[name]["strength"])
    convicted = [name for name in order if ratings[name]["finding"] == "convicted"]
    return {
        **machine(),
        "command": "make duels-live",
        "settings": vars(run.args),
        "answered": answered,
        "duels": run.count(FINALIZED),
        "seconds": round(time.monotonic() - began),
        "order": order,
        "convicted": convicted,
        "ratings": ratings,
        "audit_findings": findings,
        "single_audits_wrong": wrong,
        "wrong": ("whole" in convicted) + findings + wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duels", type=int, default=60, help="how many to open")
    parser.add_argument("--tokens", type=int, default=32, help="LLM tokens of an answer")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between requests")
    parser.add_argument("--epoch", type=int, default=240, help="seconds of an epoch")
    parser.add_argument("--commit", type=int, default=120, help="seconds to commit")
    parser.add_argument("--reveal", type=int, default=90, help="seconds to reveal")
    parser.add_argument("--tail", type=int, default=60, help="seconds before an epoch's end in which nobody asks")
    parser.add_argument("--singly", type=int, default=3, help="duels audited one by one besides the whole audit")
    parser.add_argument("--words", action="store_true", help="engines without a model: minutes instead of an hour")
    args = parser.parse_args()
    said = asyncio.run(main_run(args))
    if not args.words:
        write_figure(ROOT / "docs" / "figures" / "duels-live.json", said)
    print(json.dumps(said, indent=1))
    order = ">".join(said["order"])
    counts = f"duels {said['duels']}, order {order}, convictions {len(said['convicted'])}, wrong {said['wrong']}"
    print(f"duels-live: {counts}")
    return 0 if said["duels"] >= args.duels and said["order"][:1] != ["bad"] and not said["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
