"""One RPC endpoint: every call has a deadline, foreign exceptions stop here, its URL (a secret, maybe) is not shown."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider
from web3.exceptions import Web3Exception
from web3.types import RPCEndpoint

from node.core.errors import BadConfig

sys.setrecursionlimit(1_000)
"""Python's own; web3 imports py_ecc, which lifts it: nested JSON would overflow the C stack (H4)."""
JsonValue = Any
RETRY_SECONDS = 1.0
"""The first pause after a failure; it doubles up to the next."""
RETRY_SECONDS_MAX = 60.0
KEPT_SECONDS = 15.0
"""How long an idle connection is kept: less than servers do, as whoever closes first decides whether a call is lost."""


class EndpointDown(Exception):
    """No usable answer from this endpoint (refused, too slow, garbage). Never leaves the adapter."""


class RpcError(Exception):
    """The endpoint answered with an error. Never leaves the adapter."""

    def __init__(self, code: int, message: str, data: bytes) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    @property
    def is_revert(self) -> bool:
        """Whether a contract said no (the answer is the same everywhere), rather than the endpoint."""
        return self.code == 3 or bool(self.data) or "revert" in self.message.lower()


@dataclass(slots=True)
class Health:
    """What calls have taught about an endpoint; times are monotonic seconds."""

    failures: int = 0
    down_until: float = 0.0
    reason: str = ""
    head: int = 0
    is_chain_checked: bool = False


@dataclass(slots=True)
class Endpoint:
    """A JSON-RPC URL with its health."""

    url: str
    deadline_seconds: float
    health: Health = field(default_factory=Health)
    _provider: AsyncHTTPProvider | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """Scheme, host and port: what may be logged."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    async def call(self, method: str, *params: JsonValue) -> JsonValue:
        """The call's result. Raises EndpointDown or RpcError."""
        try:
            async with asyncio.timeout(self.deadline_seconds):
                answer = await self._ask(RPCEndpoint(method), list(params))
        except TimeoutError as exc:
            raise EndpointDown(f"no answer within {self.deadline_seconds:g} s") from exc
        except (aiohttp.ClientError, OSError, ValueError, Web3Exception) as exc:
            raise EndpointDown(f"unreachable ({type(exc).__name__})") from exc
        return _result_of(answer)

    async def _ask(self, method: RPCEndpoint, params: list[JsonValue]) -> JsonValue:
        """Once more if a kept connection turns out to be closed. Never a sending: whether it arrived is not known."""
        provider = await self._open()
        try:
            return await provider.make_request(method, params)
        except aiohttp.ServerDisconnectedError:
            if method.startswith("eth_send"):
                raise
            return await provider.make_request(method, params)

    async def _open(self) -> AsyncHTTPProvider:
        """web3's own sessions open a connection, and over TLS shake hands, for every call; ours keep it."""
        async with self._opening:
            if self._provider is None:
                provider = AsyncHTTPProvider(self.url, exception_retry_configuration=None)
                connector = aiohttp.TCPConnector(keepalive_timeout=KEPT_SECONDS)
                session = aiohttp.ClientSession(raise_for_status=True, connector=connector)
                await provider.cache_async_session(session)
                self._provider = provider
            return self._provider

    def mark_down(self, reason: str, now: float) -> None:
        """Leave it alone for a while, longer each time."""
        self.health.failures += 1
        pause = min(RETRY_SECONDS * 2 ** (self.health.failures - 1), RETRY_SECONDS_MAX)
        self.health.down_until, self.health.reason = now + pause, reason
        self.health.is_chain_checked = False  # whatever comes back may be another chain

    def mark_up(self) -> None:
        """It answered."""
        self.health.failures, self.health.down_until, self.health.reason = 0, 0.0, ""

    async def close(self) -> None:
        """Give the sockets back."""
        if self._provider is not None:
            await self._provider.disconnect()
            self._provider = None


def _result_of(answer: object) -> JsonValue:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise EndpointDown("its answer is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer["result"]
    if not isinstance(error, dict):
        raise RpcError(0, str(error)[:200], b"")
    code = error.get("code")
    return _raise_error(code if isinstance(code, int) else 0, str(error.get("message", ""))[:200], error.get("data"))


def _raise_error(code: int, message: str, data: object) -> JsonValue:
    if isinstance(data, dict):  # some endpoints wrap the revert data once more
        data = data.get("data")
    raw = data if isinstance(data, str) and data.startswith("0x") else "0x"
    try:
        raise RpcError(code, message, bytes.fromhex(raw[2:]))
    except ValueError as exc:
        raise RpcError(code, message, b"") from exc


def endpoints_of(urls: Sequence[str], deadline_seconds: float) -> tuple[Endpoint, ...]:
    """One endpoint a URL. Raises BadConfig for none or for one that is not http(s)."""
    if not urls:
        raise BadConfig("no RPC endpoint: pass --rpc URL")
    for url in urls:
        try:
            parts = urlsplit(url)
            is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_fine = False
        if not is_fine:
            raise BadConfig("an RPC endpoint must be an http:// or https:// URL")
    return tuple(Endpoint(url, deadline_seconds) for url in urls)
