"""A language model of twelve words with seeded sampling: an engine whose log-probabilities are right, in microseconds.

`flaw` disturbs its weights (another model); `blur` disturbs each computation alone (another processor, the same model).
"""

import json
import random
from functools import cache
from math import exp, log

import orjson

from tests.judging.able import AbleExchange

WORDS = ("the", "moon", "is", "a", "stone", "cold", "and", "far", "old", "river", "of", "light")
LISTED = 5


@cache
def weights(before: str, flaw: float) -> dict[str, float]:
    """What follows a word: fixed by the word, the flaw's share by the flaw too."""

    def drawn(word: str, deviation: float, *about: object) -> float:
        return random.Random(f"{before}|{word}|{about}").gauss(0, deviation)

    return {word: drawn(word, 2) + drawn(word, flaw, flaw) for word in WORDS}


def logits(before: str, flaw: float, blur: float) -> dict[str, float]:
    """Normalised; the blur is another one each time."""
    blurred = {word: weight + random.gauss(0, blur) for word, weight in weights(before, flaw).items()}
    total = log(sum(exp(one) for one in blurred.values()))
    return {word: weight - total for word, weight in blurred.items()}


class ToyEngine:
    """ports.Engine."""

    def __init__(self, flaw: float = 0.0, blur: float = 0.0) -> None:
        self.flaw, self.blur = flaw, blur
        self.bodies: list[dict] = []
        self.status = 200

    def open(self, path: str, body: bytes) -> AbleExchange:
        fields = orjson.loads(body)
        self.bodies.append(fields)
        return AbleExchange(self.status, json.dumps(self.reply(fields)).encode())

    async def is_healthy(self) -> bool:
        return True

    def reply(self, fields: dict) -> dict:
        dice, rows = random.Random(fields["seed"]), []
        before = fields["messages"][-1]["content"].split()[-1]
        for _ in range(fields["max_tokens"]):
            chances = logits(before, self.flaw, self.blur)
            order = sorted(chances, key=lambda word: -chances[word])
            before = self._pick(chances, order, fields["temperature"], dice.random())
            listed = [{"token": word, "logprob": chances[word]} for word in order[:LISTED]]
            rows.append({"token": before, "logprob": chances[before], "top_logprobs": listed})
        text = " ".join(row["token"] for row in rows)
        message = {"role": "assistant", "content": text}
        return {"choices": [{"index": 0, "message": message, "logprobs": {"content": rows}, "finish_reason": "length"}]}

    def _pick(self, chances: dict[str, float], order: list[str], temperature: float, point: float) -> str:
        if temperature == 0:
            return order[0]
        for word in WORDS:
            point -= exp(chances[word])
            if point < 0:
                return word
        return WORDS[-1]
