"""A stub OpenAI server that answers as vLLM 0.32 does, quirks included, and misbehaves on request.

  python -m tests.fakes.engine_stub --port 0 --tokenizer F --template F     prints the port, then serves until killed
  async with running_stub(StubSettings(...)) as stub: stub.base_url          the same in a test

A request chooses its fate by header `X-Stub: fault=crash,after=3`, by model `name#fault=hang`, or by
`[[stub tokens=40]]` in a prompt; `POST /control {"behaviour": "...", "times": 2}` does it for the next two requests of
anybody (no times: for all). `GET /control` tells what was received. Faults: engine_behaviour.FAULTS. The text is a
function of prompt and seed, and so are the counts.
"""

import argparse
import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes import engine_bodies as bodies
from tests.fakes.engine_behaviour import Behaviour, directives
from tests.fakes.engine_reply import send_plain, send_stream
from tests.fakes.engine_request import Answer, Refusal, read_request
from tests.fakes.engine_words import Speech

KEPT_REQUESTS = 1_000


@dataclass(frozen=True, slots=True)
class StubSettings:
    """What `vllm serve` would be told: `max_running` is --max-num-seqs, `max_queued` is --max-num-queued-reqs.

    The latter counts the running ones too, as vLLM does.
    """

    model: str = "stub"
    max_model_len: int = 2048
    max_running: int = 256
    max_queued: int = 1024
    api_key: str | None = None
    tokenizer: Path | None = None
    template: Path | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)


class EngineStub:
    """The server's state. `received` holds what callers sent: (path, headers, body bytes)."""

    def __init__(self, settings: StubSettings) -> None:
        self.settings = settings
        self.speech = Speech(settings.tokenizer, settings.template)
        self.received: deque[tuple[str, dict[str, str], bytes]] = deque(maxlen=KEPT_REQUESTS)
        self.counts: Counter[str] = Counter()
        self.health = 200
        self.base_url = ""
        self._ordered: deque[str] = deque()
        self._standing = settings.behaviour
        self._slots = asyncio.Semaphore(settings.max_running)

    def order(self, behaviour: str, times: int | None = None) -> None:
        """Let the next `times` requests behave so; without `times`, all from now on."""
        self._standing.changed(behaviour)
        if times is None:
            self._standing = self.settings.behaviour.changed(behaviour)
        else:
            self._ordered.extend([behaviour] * times)

    def reset(self) -> None:
        """Back to the settings; counts and received requests are forgotten."""
        self._standing, self.health = self.settings.behaviour, 200
        self._ordered.clear()
        self.received.clear()
        self.counts = Counter({name: self.counts[name] for name in ("running", "waiting")})

    async def generate(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions and /v1/completions."""
        raw = await request.read()
        self.received.append((request.path, dict(request.headers), raw))
        try:
            return await self._answer(request, raw)
        except Refusal as refusal:
            return refusal.response()
        except asyncio.CancelledError:
            self.counts["aborted"] += 1
            raise

    async def _answer(self, request: web.Request, raw: bytes) -> web.StreamResponse:
        self._check_key(request)
        settings = self.settings
        body = read_request(request, raw, model=settings.model)
        behaviour = self._behaviour(request, body, raw)
        answer = Answer.of(request, body, behaviour, self.speech, settings.max_model_len)
        if self.counts["running"] + self.counts["waiting"] >= settings.max_queued:
            self.counts["rejected"] += 1
            raise Refusal(503, bodies.busy())
        self.counts["waiting"] += 1
        try:
            await self._slots.acquire()
        finally:
            self.counts["waiting"] -= 1
        self.counts["running"] += 1
        try:
            sent = await (send_stream if body.get("stream") else send_plain)(request, answer, settings.model)
        finally:
            self.counts["running"] -= 1
            self._slots.release()
        self.counts.update(prompt_tokens=answer.prompt_tokens, generation_tokens=answer.completion_tokens)
        self.counts.update([answer.finish])
        return sent

    def _behaviour(self, request: web.Request, body: dict[str, Any], raw: bytes) -> Behaviour:
        behaviour = self._standing
        if self._ordered:
            behaviour = behaviour.changed(self._ordered.popleft())
        text = raw.decode(errors="replace")
        for line in directives(request.headers.get("X-Stub", ""), str(body.get("model", "")), text):
            behaviour = behaviour.changed(line)
        return behaviour

    def _check_key(self, request: web.Request) -> None:
        key = self.settings.api_key
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            raise Refusal(401, {"error": "Unauthorized"})

    async def show_models(self, request: web.Request) -> web.Response:
        self._check_key(request)
        return web.json_response(bodies.models(self.settings.model, self.settings.max_model_len))

    async def show_health(self, _: web.Request) -> web.Response:
        return web.Response(status=self.health)

    async def show_metrics(self, _: web.Request) -> web.Response:
        names = ("running", "waiting", "prompt_tokens", "generation_tokens", "stop", "length", "rejected")
        kv = min(1.0, self.counts["running"] / self.settings.max_running)
        text = bodies.METRICS.format(model=self.settings.model, kv=kv, **{name: self.counts[name] for name in names})
        return web.Response(text=text, content_type="text/plain")

    async def control(self, request: web.Request) -> web.Response:
        """POST orders, DELETE forgets, GET tells."""
        if request.method == "DELETE":
            self.reset()
        elif request.method == "POST":
            wish = await request.json()
            self.health = int(wish.get("health", self.health))
            if "behaviour" in wish:
                self.order(str(wish["behaviour"]), wish.get("times"))
        last = [{"path": path, "body": raw.decode(errors="replace")} for path, _, raw in list(self.received)[-100:]]
        return web.json_response({"counts": dict(self.counts), "requests": len(self.received), "last": last})

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20, middlewares=[_as_vllm_says])
        app.router.add_post("/v1/chat/completions", self.generate)
        app.router.add_post("/v1/completions", self.generate)
        app.router.add_get("/v1/models", self.show_models)
        for path in ("/health", "/ping"):
            app.router.add_get(path, self.show_health)
        app.router.add_get("/metrics", self.show_metrics)
        app.router.add_get("/version", _show_version)
        app.router.add_route("*", "/control", self.control)
        return app


@web.middleware
async def _as_vllm_says(request: web.Request, handler: Any) -> web.StreamResponse:
    """Unknown routes and methods have another shape than the API's errors."""
    try:
        reply: web.StreamResponse = await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except web.HTTPException as refused:
        return web.json_response({"detail": refused.reason}, status=refused.status)
    return reply


async def _show_version(_: web.Request) -> web.Response:
    return web.json_response({"version": "0.32.0"})


@contextlib.asynccontextmanager
async def running_stub(settings: StubSettings | None = None, *, port: int = 0) -> AsyncIterator[EngineStub]:
    """Serve on 127.0.0.1; `stub.base_url` has no trailing slash and no /v1."""
    stub = EngineStub(settings or StubSettings())
    runner = web.AppRunner(stub.app(), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        stub.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield stub
    finally:
        await runner.cleanup()


async def _serve(settings: StubSettings, port: int) -> None:
    async with running_stub(settings, port=port) as stub:
        print(stub.base_url.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    parser.add_argument("--model", default="stub")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--template", type=Path)
    parser.add_argument("--max-model-len", type=int, default=2048)
    parser.add_argument("--max-num-seqs", type=int, default=256, dest="max_running")
    parser.add_argument("--max-num-queued-reqs", type=int, default=1024, dest="max_queued")
    parser.add_argument("--api-key")
    parser.add_argument("--behaviour", default="", type=Behaviour().changed, help="e.g. tokens=40,delay=0.02")
    args = vars(parser.parse_args())
    port = args.pop("port")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(StubSettings(**args), port))


if __name__ == "__main__":
    main()
