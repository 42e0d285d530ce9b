"""An engine without a model, for the plumbing of duels: its answers hold a share of good words, and it scores them.

Speaks as much of vLLM's surface as a node and a likelihood judge use: chat (plain and stream), prompt_logprobs, health.
"""

import argparse
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

GOOD = ("clear", "true", "short", "right", "plain", "sound", "exact", "whole")
BAD = ("mist", "false", "vague", "wrong", "noise", "blur", "loose", "void")
LIKELY, UNLIKELY = -1.0, -6.0
WORDS = 12


def build(model: str, quality: float, seed: int) -> FastAPI:
    app = FastAPI()
    dice = random.Random(seed)

    @app.get("/health")
    async def health() -> Response:
        return Response()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": model, "object": "model"}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        fields = await request.json()
        last = fields["messages"][-1]
        if fields.get("prompt_logprobs") is not None:
            return JSONResponse(scored(model, last))
        count = min(WORDS, int(fields.get("max_tokens") or WORDS))
        words = [dice.choice(GOOD if dice.random() < quality else BAD) for _ in range(count)]
        text = " ".join(words)
        usage = {"prompt_tokens": 10_000, "completion_tokens": 10_000, "total_tokens": 20_000}
        if not fields.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            choices = [choice] * int(fields.get("n") or 1)
            return JSONResponse({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage})
        return StreamingResponse(events(words, usage), media_type="text/event-stream")

    return app


def scored(model: str, last: dict[str, str]) -> dict[str, Any]:
    rows: list[Any] = [None, {"1": {"logprob": -9.0, "rank": 1}}]
    if last["role"] == "assistant":
        rows += [{"1": {"logprob": LIKELY if word in GOOD else UNLIKELY}} for word in last["content"].split()]
    choice = {"index": 0, "message": {"role": "assistant", "content": "."}, "finish_reason": "length"}
    return {"id": "x", "model": model, "choices": [choice], "prompt_logprobs": rows}


async def events(words: list[str], usage: dict[str, int]) -> AsyncIterator[bytes]:
    for number, word in enumerate(words):
        delta = {"content": word if number == 0 else f" {word}"}
        yield event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield event({"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--quality", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    app = build(args.model, args.quality, args.seed)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
