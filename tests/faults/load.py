"""Paying load on a gateway by the official openai package, until told to stop. Counts only what the client saw."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import openai


@dataclass(slots=True)
class Load:
    """`workers` clients in a loop; errors are expected while processes die and are only counted by class."""

    base_url: str
    api_key: str
    model: str
    workers: int
    seed: int
    pause: float = 0.4
    """Seconds a worker rests at most after an answer: every audit re-checks all receipts so far."""
    seen: Counter[str] = field(default_factory=Counter)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self.workers)]

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _work(self, number: int) -> None:
        dice = random.Random(self.seed * 1_000 + number)
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        client = openai.AsyncOpenAI(
            base_url=self.base_url, api_key=self.api_key, max_retries=2, timeout=30, http_client=http
        )
        async with client:
            while not self._stop.is_set():
                try:
                    await self._ask(client, dice)
                    self.seen["answered"] += 1
                    await asyncio.sleep(dice.uniform(0, self.pause))
                except openai.APIError as exc:
                    self.seen[type(exc).__name__] += 1
                    await asyncio.sleep(0.05)

    async def _ask(self, client: openai.AsyncOpenAI, dice: random.Random) -> None:
        messages = [{"role": "user", "content": f"number {dice.randrange(10**9)}"}]
        tokens = dice.choice([4, 16, 64])
        kind = dice.choice(["plain", "stream", "hang-up"])
        if kind == "plain":
            await client.chat.completions.create(model=self.model, messages=messages, max_tokens=tokens)
            return
        stream = await client.chat.completions.create(
            model=self.model, messages=messages, max_tokens=tokens, stream=True
        )
        async for _ in stream:
            if kind == "hang-up":
                await stream.close()
                return
