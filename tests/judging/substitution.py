"""`make substitution`: is a substituted model told from the named one? Real engines, one at a time.

The same model in a second process and in bfloat16, and a slightly noisier copy, sell answers under one name; the model
itself runs them again. Sold several at a time, run again in other batches, as between strangers.
Last line: `substitution: same model same X/N, noise0.1 different Y/N, wrong W`.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from node.adapters.engine.client import EngineSettings, HttpEngine
from node.adapters.engine.command import EngineSpec
from node.adapters.engine.supervisor import EngineSupervisor, SupervisorLimits
from node.cli.devmarket.market import ROOT
from node.cli.engine import spec_of
from node.cli.reexecute import read_saved
from node.core.judging.substitution import TOLERANCES, Likeness, found
from node.services.judging import CHAT, ask
from node.services.reexecution import Bought, Rerun, Wish, judged, repeated, requests_for
from tests.net.figures import machine, write_figure

T = TypeVar("T")
SELLERS = {"base": ("base", "float32"), "noise0.1": ("noise0.1", "float32"), "base in bfloat16": ("base", "bfloat16")}
WANTED = {
    ("base", "exact"): Likeness.SAME,
    ("base", "loose"): Likeness.SAME,
    ("noise0.1", "exact"): Likeness.DIFFERENT,
    ("noise0.1", "loose"): Likeness.DIFFERENT,
    ("base in bfloat16", "loose"): Likeness.SAME,
}
"""Which finding is right. In bfloat16 the exact tolerance does not apply; what it says stands in the figure."""
SOLD_AT_ONCE, RUN_AT_ONCE = 4, 3
PATIENCE = 1_800.0
"""Seconds for a start and for one answer: this is run beside other work."""
QUESTIONS = (
    "What is the capital of France?",
    "Write two sentences about the moon.",
    "Why is the sea salt?",
    "Name three uses of iron.",
    "How is bread made?",
    "Tell a short story about a clock.",
    "What does a library lend?",
    "Explain rain to a child.",
    "What grows in an orchard?",
    "Describe a bridge over a river.",
)


@asynccontextmanager
async def opened(spec: EngineSpec) -> AsyncIterator[HttpEngine]:
    async with EngineSupervisor(spec, os.environ, limits=SupervisorLimits(ready=PATIENCE)) as running:
        engine = HttpEngine(EngineSettings(running.base_url, first_byte_seconds=PATIENCE, idle_seconds=PATIENCE))
        try:
            yield engine
        finally:
            engine.close()


async def all_of(work: Iterable[Awaitable[T]], at_once: int) -> list[T]:
    """In order, so many at a time."""
    room = asyncio.Semaphore(at_once)

    async def one(awaited: Awaitable[T]) -> T:
        async with room:
            return await awaited

    return list(await asyncio.gather(*map(one, work)))


async def sold_by(seller: str, args: argparse.Namespace) -> list[Bought]:
    """Every seller is asked the same things."""
    weights, dtype = SELLERS[seller]
    spec = replace(spec_of(weights, 0, SOLD_AT_ONCE), served_name="model", extra=("--dtype", dtype))
    seeds = iter(range(args.answers))
    file = args.keep / f"{seller} {args.answers} {args.tokens}.jsonl" if args.keep else None
    if file is not None and file.exists():
        return list(read_saved(file))
    wish = Wish("model", QUESTIONS, args.answers, args.tokens)
    requests = requests_for(wish, lambda size: next(seeds).to_bytes(size, "big"))
    async with opened(spec) as engine:

        async def buy(request: dict[str, Any]) -> Bought:
            return Bought(request, await ask(engine, CHAT, request))

        sold = await all_of(map(buy, requests), SOLD_AT_ONCE)
    if file is not None:
        file.write_bytes(b"".join(orjson.dumps(asdict(one)) + b"\n" for one in sold))
    return sold


async def run_again(sold: dict[str, list[Bought]]) -> dict[tuple[str, str], list[Rerun]]:
    """By seller and tolerance, on the model itself."""
    rows: dict[tuple[str, str], list[Rerun]] = {}
    async with opened(replace(spec_of("base", 0, RUN_AT_ONCE), served_name="model")) as reference:
        for seller, bought in sold.items():
            again = await all_of((repeated(reference, "model", one) for one in bought), RUN_AT_ONCE)
            for tolerance, limits in TOLERANCES.items():
                rows[seller, tolerance] = [judged(*pair, limits) for pair in zip(bought, again, strict=True)]
    return rows


def summary(rows: list[Rerun]) -> dict[str, Any]:
    """One seller by one tolerance."""
    compared = [row.comparison for row in rows]
    counts = Counter(one.likeness for one in compared)
    return {
        "verdict": found(one.likeness for one in compared),
        **{one.value: counts[one] for one in Likeness},
        "same_text": sum(one.is_same_text for one in compared),
        "tokens_compared": sum(one.compared for one in compared),
        "mean": max(one.mean for one in compared),
        "largest": max(one.most for one in compared),
        "answers": [[one.likeness, one.compared, one.is_same_text, one.mean, one.most] for one in compared],
    }


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = await run_again({seller: await sold_by(seller, args) for seller in SELLERS if seller not in args.without})
    results = {" / ".join(key): summary(found_rows) for key, found_rows in rows.items()}
    wrong = sum(results[" / ".join(key)]["verdict"] is not wanted for key, wanted in WANTED.items() if key in rows)
    note = "seller / tolerance; every second answer at temperature 0.8 by its seed; mean, largest: the worst answer's"
    settings = {
        "answers": args.answers,
        "tokens": args.tokens,
        "sold_at_once": SOLD_AT_ONCE,
        "run_at_once": RUN_AT_ONCE,
    }
    head = {**machine(), "command": "make substitution", "settings": settings, "note": note}
    return {**head, "results": results, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=24, help="LLM tokens of an answer")
    parser.add_argument("--keep", type=Path, help="a folder: what was sold before is not sold again")
    parser.add_argument("--without", nargs="*", default=[], choices=["base in bfloat16"], help="a seller to leave out")
    args = parser.parse_args()
    said = asyncio.run(measure(args))
    write_figure(ROOT / "docs" / "figures" / "substitution.json", said)
    for name, one in said["results"].items():
        print(name, orjson.dumps({key: value for key, value in one.items() if key != "answers"}).decode())
    same, different = said["results"]["base / exact"]["same"], said["results"]["noise0.1 / exact"]["different"]
    of = args.answers
    print(f"substitution: same model same {same}/{of}, noise0.1 different {different}/{of}, wrong {said['wrong']}")
    return 1 if said["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
