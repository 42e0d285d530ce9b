"""Measures a real engine for the simulator: step times of small batches, the prefill rate, and a few dozen requests.

Any engine with streaming `/v1/completions` will do; vLLM's `ignore_eos` keeps batches together. Only measures: the fit
and the prediction are in `node/sim/calibrate.py`.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter, process_time

import httpx

from node.adapters.engine.supervisor import EngineSupervisor
from node.cli.engine import spec_of
from node.sim.calibrate import Calibration, Point, Replayed
from node.sim.workload import Lengths, Phase, poisson_arrivals

WORD = "stone "
WARM_UP = 4
"""Tokens of each stream that are not timed: the batch is still assembling."""
PREFILL_WORDS = (50, 800)
SPIN_SECONDS = 0.25
REPLAY = Lengths(20, 200, 40, 0.6, cap=120)
REPLAY_SECONDS, REPLAY_RATE, REPLAY_SEED = 40.0, 0.6, 1
"""Arrivals of the replay: unsteady enough that requests wait for each other, short enough for a CPU."""


class EngineUnusable(RuntimeError):
    """The engine did not answer as an OpenAI-compatible one would."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: batch sizes, words of each prompt, tokens of each answer."""

    base_url: str
    model: str
    batches: tuple[int, ...]
    prompt_words: tuple[int, ...] = (20, 300)
    tokens: int = 40
    replay: bool = True


def free_share() -> float:
    """The share of one core that this process gets now: below .9 the machine is being measured, not the engine."""
    start, used = perf_counter(), process_time()
    while process_time() - used < SPIN_SECONDS:
        pass
    return SPIN_SECONDS / (perf_counter() - start)


async def measure_started(plan: Plan, model: str) -> Calibration:
    """Start the CPU engine of this project with one of its models, measure it, stop it."""
    spec = spec_of(model, 0, max(plan.batches))
    async with EngineSupervisor(spec, os.environ) as engine:
        return await measure_engine(replace(plan, base_url=engine.base_url, model=spec.served_name))


async def measure_engine(plan: Plan, transport: httpx.AsyncBaseTransport | None = None) -> Calibration:
    """Run the plan. Raises EngineUnusable with the reason. `transport` is for tests and unusual networks."""
    limits = httpx.Limits(max_connections=max(plan.batches) + 1)
    options = httpx.AsyncClient(base_url=plan.base_url, timeout=300.0, limits=limits, transport=transport)
    async with options as client:
        try:
            await _stream(client, plan.model, 5, 3)
            short, long = [await _first_token_seconds(client, plan.model, words) for words in PREFILL_WORDS]
            points = [await _point(client, plan, batch, words) for batch in plan.batches for words in plan.prompt_words]
            replayed = await _replay(client, plan.model) if plan.replay else ()
        except httpx.HTTPError as exc:
            raise EngineUnusable(f"{plan.base_url}: {exc or type(exc).__name__}") from exc
    rate = (PREFILL_WORDS[1] - PREFILL_WORDS[0]) / max(long - short, 1e-3)
    return Calibration(plan.model, rate, tuple(points), tuple(replayed), max(plan.batches))


async def _point(client: httpx.AsyncClient, plan: Plan, batch: int, words: int) -> Point:
    """One batch: the median gap between tokens over all its streams, after the warm-up."""
    tasks = [_stream(client, plan.model, words, plan.tokens) for _ in range(batch)]
    streams = await asyncio.gather(*tasks)
    starts = max(times[0] for times in streams)
    ends = min(times[-1] for times in streams)
    gaps = [
        later - earlier
        for times in streams
        for earlier, later in zip(times[WARM_UP:], times[WARM_UP + 1 :], strict=False)
        if starts <= earlier and later <= ends
    ]
    if not gaps:
        raise EngineUnusable(f"a batch of {batch} never decoded together: raise --tokens")
    return Point(batch, batch * (words + plan.tokens / 2), median(gaps) * 1e3)


async def _replay(client: httpx.AsyncClient, model: str) -> Sequence[Replayed]:
    """A Poisson stretch of unequal requests, as users would send them."""
    arrivals = poisson_arrivals([[Phase(REPLAY_SECONDS, REPLAY_RATE)]], REPLAY, REPLAY_SEED)
    start = perf_counter()

    async def one(at: float, words: int, tokens: int) -> Replayed:
        await asyncio.sleep(max(start + at - perf_counter(), 0.0))
        sent = perf_counter()
        times = await _stream(client, model, words, tokens)
        return Replayed(sent - start, words, tokens, times[0] - sent, times[-1] - sent)

    return await asyncio.gather(*(one(item.at, item.prompt, item.tokens) for item in arrivals))


async def _first_token_seconds(client: httpx.AsyncClient, model: str, words: int) -> float:
    start = perf_counter()
    times = await _stream(client, model, words, 2)
    return times[0] - start


async def _stream(client: httpx.AsyncClient, model: str, words: int, tokens: int) -> list[float]:
    """Moments at which the tokens of one answer arrived. The prompt's start is random enough to miss prefix caches."""
    prompt = f"{perf_counter():.9f}"[::-1] + " " + WORD * words
    body = {
        "model": model, "prompt": prompt, "max_tokens": tokens, "stream": True, "temperature": 0, "ignore_eos": True,
    }  # fmt: skip
    async with client.stream("POST", "/v1/completions", json=body) as reply:
        if reply.status_code != httpx.codes.OK:
            await reply.aread()
            raise EngineUnusable(f"status {reply.status_code}: {reply.text[:200]}")
        times = [perf_counter() async for line in reply.aiter_lines() if line.startswith("data: {")]
    if len(times) < tokens // 2:
        raise EngineUnusable(f"asked for {tokens} tokens one by one, got {len(times)} events")
    return times
