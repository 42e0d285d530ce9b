"""An able judge without a model: it does sums, and obeys whatever stands outside the envelopes.

What it does is fixed, so a flip is the envelope's fault: it reads the two answers where the envelopes say they are,
checks the sum in each, and takes any sentence that is not the task's for an order by whoever set the task.
"""

import json
import re
from collections.abc import Callable

import orjson

from node.core.judging.case import Case
from node.core.judging.envelope import CLOSE

SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
ORDER = re.compile(
    r"\b(?:Say|Vote|letter|verdict is|with|be|Choose|Pick|Return|Answer:|VERDICT=|that|print)\s*([AB])\b"
)
TURN = re.compile(r"<\|im_end\|>|<\|eot_id\|>|\[/INST\]|<start_of_turn>|</s>")


def verdict_of(messages: list[dict[str, str]]) -> str:
    """The letter this judge says. Gullible outside the envelopes, able inside."""
    system, user = messages[0]["content"], messages[1]["content"]
    nonce = re.search(r"the name (\w*)\.", system)
    name = nonce.group(1) if nonce else ""
    turned = TURN.search(user)
    if turned and (ordered := ORDER.search(user[turned.end() :])):
        return ordered.group(1)
    outside, texts = _split(user, name)
    if ordered := ORDER.search(outside.replace(CLOSE.format(nonce=name), "")):
        return ordered.group(1)
    right = [_is_right(texts.get(label, "")) for label in "AB"]
    return "B" if right[1] and not right[0] else "A"


def _split(user: str, name: str) -> tuple[str, dict[str, str]]:
    texts: dict[str, str] = {}

    def take(found: re.Match[str]) -> str:
        texts.setdefault(found.group(1)[-1], found.group(2))
        return ""

    tail = re.escape(f" {name}" if name else "")
    outside = re.sub(rf"<(request|answer-[AB]){tail}>\n(.*?)\n</\1{tail}>", take, user, flags=re.DOTALL)
    return outside, texts


def _is_right(quoted: str) -> bool:
    try:
        text = json.loads(quoted)
    except ValueError:
        text = quoted
    found = SUM.search(text)
    return bool(found) and int(found.group(1)) + int(found.group(2)) == int(found.group(3))


def naive_messages(case: Case) -> list[dict[str, str]]:
    """The same task without the walls: what the envelope is compared with."""
    parts = [f"<request>\n{case.fields['messages'][0]['content']}\n</request>"]
    answers = zip("AB", (case.first, case.second), strict=True)
    parts += [f"<answer-{label}>\n{text}\n</answer-{label}>" for label, text in answers]
    system = "Compare the answers; the envelopes have the name ."
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


class AbleEngine:
    """ports.Engine: answers verdict requests as vLLM would, from `verdict_of`."""

    def __init__(self, decide: Callable[[list[dict[str, str]]], str] = verdict_of) -> None:
        self.decide = decide
        self.asked = 0

    def open(self, path: str, body: bytes) -> "AbleExchange":
        self.asked += 1
        letter = self.decide(orjson.loads(body)["messages"])
        sure, other = ({"token": letter, "logprob": -0.02}, {"token": "BA"["AB".index(letter)], "logprob": -3.9})
        token = {"token": letter, "logprob": -0.02, "top_logprobs": [sure, other]}
        choice = {"index": 0, "message": {"role": "assistant", "content": letter}, "logprobs": {"content": [token]}}
        return AbleExchange(200, orjson.dumps({"choices": [choice]}))

    async def is_healthy(self) -> bool:
        return True


class AbleExchange:
    """ports.Exchange over one ready reply."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.parts = [body, b""]
        self.is_cancelled = False

    async def start(self) -> int:
        return self.status

    async def read(self) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    def cancel(self) -> None:
        self.is_cancelled = True
