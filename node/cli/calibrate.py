"""Measures a real engine for the simulator: step times of small batches and the prefill rate, over its OpenAI API.

Any engine with streaming `/v1/completions` will do; vLLM's `ignore_eos` keeps batches together. Only measures: the
fit is in `node/sim/calibrate.py`.
"""

import asyncio
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import httpx

from node.sim.calibrate import Calibration, Point

WORD = "stone "
WARM_UP = 4
"""Tokens of each stream that are not timed: the batch is still assembling."""
PREFILL_WORDS = (50, 800)


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


async def measure_engine(plan: Plan, transport: httpx.AsyncBaseTransport | None = None) -> Calibration:
    """Run the plan. Raises EngineUnusable with the reason. `transport` is for tests and unusual networks."""
    limits = httpx.Limits(max_connections=max(plan.batches) + 1)
    options = httpx.AsyncClient(base_url=plan.base_url, timeout=300.0, limits=limits, transport=transport)
    async with options as client:
        try:
            await _stream(client, plan.model, 5, 3)
            short, long = [await _first_token_seconds(client, plan.model, words) for words in PREFILL_WORDS]
            points = [await _point(client, plan, batch, words) for batch in plan.batches for words in plan.prompt_words]
        except httpx.HTTPError as exc:
            raise EngineUnusable(f"{plan.base_url}: {exc or type(exc).__name__}") from exc
    rate = (PREFILL_WORDS[1] - PREFILL_WORDS[0]) / max(long - short, 1e-3)
    return Calibration(plan.model, rate, tuple(points))


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
