"""An RPC endpoint that lies, lags and dies on command: a proxy before a real one. Each fault is one function here."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

Answer = dict[str, Any]
SLOW_SECONDS = 3.0


@dataclass
class FaultProxy:
    """Set `fault` to a name of FAULTS; "" passes everything through. `asked` counts calls."""

    target: str
    fault: str = ""
    asked: int = 0
    url: str = ""
    frozen: dict[str, Any] = field(default_factory=dict)
    session: aiohttp.ClientSession | None = None

    def set(self, fault: str) -> None:
        """Begin to misbehave (or stop)."""
        self.frozen.clear()
        self.fault = fault

    async def ask(self, body: Answer) -> Answer:
        """The real endpoint's answer."""
        assert self.session is not None
        async with self.session.post(self.target, json=body) as reply:
            answer: Answer = await reply.json()
            return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        self.asked += 1
        body = await request.json()
        if self.fault in TRANSPORT:
            return await TRANSPORT[self.fault](self, request, body)
        answer = await self.ask(body)
        if self.fault:
            answer = FAULTS[self.fault](self, body, answer)
        return web.json_response(answer)


async def _refused(_proxy: FaultProxy, request: web.Request, _body: Answer) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _slow(proxy: FaultProxy, _request: web.Request, body: Answer) -> web.StreamResponse:
    await asyncio.sleep(SLOW_SECONDS)
    return web.json_response(await proxy.ask(body))


async def _garbage(_proxy: FaultProxy, _request: web.Request, _body: Answer) -> web.StreamResponse:
    return web.Response(text="<html>Bad gateway</html>")


async def _limited(_proxy: FaultProxy, _request: web.Request, _body: Answer) -> web.StreamResponse:
    return web.json_response({"error": "too many requests"}, status=429)


async def _cut(_proxy: FaultProxy, request: web.Request, _body: Answer) -> web.StreamResponse:
    """Headers promise more than ever comes."""
    response = web.StreamResponse(headers={"content-length": "1000", "content-type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"jsonrpc"')
    assert request.transport is not None
    request.transport.abort()
    return response


TRANSPORT = {"down": _refused, "slow": _slow, "garbage": _garbage, "rate_limited": _limited, "cut_short": _cut}


def _refuses(_proxy: FaultProxy, body: Answer, _answer: Answer) -> Answer:
    return {"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32603, "message": "internal error"}}


def _empty_logs(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    return {**answer, "result": []} if body["method"] == "eth_getLogs" else answer


def _partial_logs(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    return {**answer, "result": answer["result"][1:]} if body["method"] == "eth_getLogs" else answer


def _doubled_logs(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    return {**answer, "result": answer["result"] * 2} if body["method"] == "eth_getLogs" else answer


def _stale(proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    """Heads frozen where they were: a backend that stopped following."""
    if body["method"] == "eth_getBlockByNumber" and body["params"][0] in ("latest", "finalized"):
        return {**answer, "result": proxy.frozen.setdefault(body["params"][0], answer["result"])}
    return answer


def _wrong_chain(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    return {**answer, "result": "0x1"} if body["method"] == "eth_chainId" else answer


def _forked(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    """Other hashes for every block near the head, and no memory of the real ones."""
    if body["method"] == "eth_getBlockByNumber" and isinstance(answer.get("result"), dict):
        block = dict(answer["result"])
        block["hash"] = "0x" + bytes(255 - byte for byte in bytes.fromhex(block["hash"][2:])).hex()
        return {**answer, "result": block}
    if body["method"] == "eth_getLogs":
        return {"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32000, "message": "unknown block"}}
    return answer


def _pruned(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    if body["method"] in ("eth_getLogs", "eth_getBlockReceipts"):
        return {"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32000, "message": "history is pruned"}}
    return answer


def _no_transactions(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    """It has never heard of any transaction: a reply that a sender must not take for "failed"."""
    if body["method"] in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
        return {**answer, "result": None}
    return answer


def _absurd_fees(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    if body["method"] == "eth_maxPriorityFeePerGas":
        return {**answer, "result": hex(10**30)}
    return answer


def _foreign_logs(_proxy: FaultProxy, body: Answer, answer: Answer) -> Answer:
    """The same events from a look-alike contract."""
    if body["method"] != "eth_getLogs" or not isinstance(answer.get("result"), list):
        return answer
    fakes = [
        {**log, "address": "0x" + "66" * 20, "logIndex": hex(int(log["logIndex"], 16) + 50)} for log in answer["result"]
    ]
    return {**answer, "result": answer["result"] + fakes}


FAULTS: dict[str, Callable[[FaultProxy, Answer, Answer], Answer]] = {
    "refuses_all": _refuses,
    "empty_logs": _empty_logs,
    "partial_logs": _partial_logs,
    "doubled_logs": _doubled_logs,
    "stale_head": _stale,
    "wrong_chain": _wrong_chain,
    "forked": _forked,
    "pruned": _pruned,
    "no_transactions": _no_transactions,
    "absurd_fees": _absurd_fees,
    "foreign_logs": _foreign_logs,
}
ALL_FAULTS = (*TRANSPORT, *FAULTS)


@asynccontextmanager
async def fault_proxy(target: str) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port of this machine."""
    proxy = FaultProxy(target)
    app = web.Application(client_max_size=1 << 22)
    app.router.add_post("/", proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    proxy.url = f"http://{host}:{port}"
    proxy.session = aiohttp.ClientSession(json_serialize=json.dumps)
    try:
        yield proxy
    finally:
        await proxy.session.close()
        await runner.cleanup()
