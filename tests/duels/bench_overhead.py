"""`make bench-duels`: what duels cost a user (nothing, it should be), and what work and gas they add to each request.

Four nodes without an engine, equal but for their rate of duels (0, 5, 10, 25 %), pass requests on to the same three
executors; one request of each in turn, in another order each round, so that the machine's other work disturbs all
alike. Judges, contract and chain are real, engines are words. Last line: `duels-overhead: settings 4, slower N`; a
setting is slower when the interval of its median difference from a rate of 0, paired by rounds, lies above 0: that of
the first event or that of the last.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx

from node.cli.devmarket.market import ROOT, MarketPlan
from node.cli.devmarket.processes import Processes, answers_ok, free_port, wait_until
from tests.duels.court_market import CourtMarket, CourtTimes
from tests.duels.overhead_costs import CONFIDENCE, STEPS, Costs, Taken, told
from tests.fakes import tiny_tokenizer
from tests.net.figures import machine, write_figure

RATES = {"never": 0, "few": 50, "some": 100, "many": 250}
EXECUTORS = {"good": 1.0, "fair": 0.8, "poor": 0.1}
MODEL = "words"
EPOCH = 400
END_SECONDS, START_SECONDS = 180.0, 300.0
WARM_UP, LEAST_ROUNDS = 5, 20
SEED = "SeedCommitted(address,uint32,bytes32,uint16)"


class Bench:
    """One run over a built market."""

    def __init__(self, market: CourtMarket, args: argparse.Namespace, until: float) -> None:
        self.market, self.rounds, self.pause, self.until_time = market, args.rounds, args.pause, until
        self.costs = Costs(market)
        self.taken = {name: Taken() for name in RATES}
        self.failed = 0

    def leap(self) -> None:
        """The chain's clock to the beginning of its next epoch."""
        chain = self.market.chain
        now = int(chain.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        chain.call("evm_increaseTime", EPOCH - now % EPOCH)

    async def until(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not await asyncio.to_thread(is_so):
            if time.monotonic() > end:
                raise SystemExit(f"duels-overhead: {what} took more than {seconds:.0f} s")
            await asyncio.sleep(0.5)

    async def ask(self, http: httpx.AsyncClient, name: str, number: int) -> tuple[float, float]:
        """Milliseconds to the first event, and to the last, of one user's request."""
        client = self.market.clients[list(RATES).index(name)]
        content = f"Say {number} clear words."
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 12, "stream": True}
        began, first = time.perf_counter(), 0.0
        url, headers = f"{client.gateway_url}/chat/completions", {"authorization": f"Bearer {client.api_key}"}
        async with http.stream("POST", url, json=body, headers=headers) as reply:
            reply.raise_for_status()
            async for _ in reply.aiter_bytes():
                first = first or time.perf_counter() - began
        return first * 1e3, (time.perf_counter() - began) * 1e3

    async def play(self) -> None:
        """Warm up until everybody is served, then the rounds; a round in which anybody fails counts for nobody."""
        dice = Random(7)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for name in RATES:
                await self._until_served(http, name)
            for number in range(WARM_UP + self.rounds):
                order, began = dice.sample(list(RATES), len(RATES)), time.monotonic()
                if began > self.until_time:
                    break
                try:
                    found = {name: await self.ask(http, name, number) for name in order}
                except httpx.HTTPError:
                    self.failed += 1
                    continue
                for name, (first, whole) in found.items() if number >= WARM_UP else ():
                    self.taken[name].first.append(first)
                    self.taken[name].whole.append(whole)
                await asyncio.sleep(max(self.pause - (time.monotonic() - began), 0.0))

    async def _until_served(self, http: httpx.AsyncClient, name: str) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(httpx.HTTPError):
                await self.ask(http, name, -1)
                return
            await asyncio.sleep(1.0)
        raise SystemExit(f"duels-overhead: {name} never offloaded")

    async def run(self) -> None:
        """Seeds for the next epoch, the requests in it; a first duel has ended, so that each step's gas is known."""
        await asyncio.to_thread(self.leap)
        committed = sum(rate > 0 for rate in RATES.values())
        await self.until(lambda: len(self.costs.logs(SEED)) >= committed, START_SECONDS, "committing to seeds")
        await asyncio.to_thread(self.leap)
        await self.play()
        if (rounds := len(self.taken["never"].first)) < LEAST_ROUNDS:
            raise SystemExit(f"duels-overhead: only {rounds} rounds in time: the machine is too busy to tell anything")
        *_, finalized = STEPS
        await self.until(lambda: bool(self.costs.logs(finalized)), END_SECONDS, "the end of a duel")

    def figure(self) -> dict[str, Any]:
        gas = self.costs.gas_of_steps()
        duel = sum(gas[signature.partition("(")[0]] * count for signature, count in STEPS.items())
        rows = {}
        for name, rate in RATES.items():
            asked = self.costs.asked(name)
            extra = self.costs.second_purchases(name) / asked
            rows[f"{rate / 10:g} %"] = {
                **told(self.taken[name], self.taken["never"]),
                "rounds": len(self.taken[name].first),
                "dispatched": asked,
                "extra_purchases_per_request": round(extra, 4),
                "duels_opened_per_request": round(self.costs.opened_by(name) / asked, 4),
                "gas_per_request": round(extra * duel),
            }
        return {"settings": rows, "gas_of_steps": gas, "gas_per_duel": duel, "rounds_without_all_four": self.failed}


def build(folder: Path, processes: Processes) -> CourtMarket:
    tokenizer = folder / "tokenizer"
    tiny_tokenizer.build(tokenizer)
    engines = {}
    for seed, (name, quality) in enumerate(EXECUTORS.items()):
        port = free_port()
        options = ["--port", str(port), "--model", MODEL, "--seed", str(seed), "--quality", str(quality)]
        child = processes.start(f"{name}-engine", [sys.executable, "-m", "tests.duels.word_engine", *options])
        engines[name] = f"http://127.0.0.1:{port}"
        wait_until(child, answers_ok(f"{engines[name]}/health"), START_SECONDS)
    market = CourtMarket(
        MarketPlan(folder, "", MODEL, tokenizer, block_seconds=1.0),
        processes,
        reference=engines["good"],
        executors=engines,
        times=CourtTimes(epoch=EPOCH, commit=40, reveal=40),
        rates=RATES,
    )
    market.build()
    market.open_for(list(RATES), is_loyal=True)
    return market


async def main_run(args: argparse.Namespace) -> dict[str, Any]:
    until = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory(prefix="wwwserve-overhead-") as temporary, Processes(Path(temporary)) as processes:
        market = await asyncio.to_thread(build, Path(temporary), processes)
        bench = Bench(market, args, until)
        try:
            await bench.run()
            return await asyncio.to_thread(bench.figure)
        except BaseException:
            print(market.provider_logs())
            raise


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150, help="requests of each setting, at most")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds from one round's beginning to the next")
    parser.add_argument("--seconds", type=float, default=310.0, help="after so long, building included, nobody asks")
    args = parser.parse_args()
    began = time.monotonic()
    note = f"milliseconds through each user's gateway; low, high: {CONFIDENCE:.1%} bootstrap; added: paired by rounds"
    said = {**machine(), "command": "make bench-duels", "note": note, **asyncio.run(main_run(args))}
    said["seconds"] = round(time.monotonic() - began)
    write_figure(ROOT / "docs" / "figures" / "duels-overhead.json", said)
    for rate, row in said["settings"].items():
        waits = {name: {what: one["ms"] for what, one in row[name].items()} for name in ("first", "whole")}
        print(
            f"{rate:>5}: {waits}, {row['extra_purchases_per_request']} purchases more, gas {row['gas_per_request']:,}"
        )
    slower = sum(
        any(row[name].get("added_p50", {"low": 0.0})["low"] > 0.0 for name in ("first", "whole"))
        for row in said["settings"].values()
    )
    print(f"duels-overhead: settings {len(RATES)}, slower {slower}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
