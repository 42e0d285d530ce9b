"""JSON-RPC over HTTP: one URL, batches, a few retries. It believes nothing and decides nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from node.audit.errors import CannotAuditError

Call = tuple[str, list[Any]]
BATCH = 100
"""Calls in one HTTP request: public endpoints refuse more."""
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.25


class RpcRefusedError(Exception):
    """The RPC endpoint answered with a JSON-RPC error: asking again the same way is useless."""


@dataclass(slots=True)
class Rpc:
    """One RPC endpoint. `pause` is how to wait between attempts, so that tests need not."""

    url: str
    client: httpx.Client
    pause: Callable[[float], None] = time.sleep
    _next_id: int = field(default=0)

    def call(self, method: str, *params: Any) -> Any:  # noqa: ANN401 -- JSON-RPC results are any JSON
        """One call. Raises RpcRefusedError, CannotAuditError."""
        return self.call_many([(method, list(params))])[0]

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Results in the order of `calls`. Raises RpcRefusedError for the first refused, CannotAuditError."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            results += self._batch(calls[start : start + BATCH])
        return results

    def _batch(self, calls: Sequence[Call]) -> list[Any]:
        first = self._next_id
        self._next_id += len(calls)
        body = [
            {"jsonrpc": "2.0", "id": first + place, "method": method, "params": params}
            for place, (method, params) in enumerate(calls)
        ]
        answer = self._post(body if len(body) > 1 else body[0])
        if len(calls) > 1 and not isinstance(answer, list):
            # One object for a whole batch: the endpoint takes shorter batches, or none.
            middle = len(calls) // 2
            return self._batch(calls[:middle]) + self._batch(calls[middle:])
        answers = answer if isinstance(answer, list) else [answer]
        by_id = {item.get("id"): item for item in answers if isinstance(item, dict)}
        return [self._result(by_id.get(first + place), calls[place][0]) for place in range(len(calls))]

    def _result(self, item: dict[str, Any] | None, method: str) -> Any:  # noqa: ANN401 -- as above
        if item is None:
            raise CannotAuditError(f"{self.url} left a call of a batch unanswered ({method}); try another RPC endpoint")
        if "error" in item:
            error = item["error"]
            raise RpcRefusedError(str(error.get("message", error)) if isinstance(error, dict) else str(error))
        return item.get("result")

    def _post(self, body: object) -> Any:  # noqa: ANN401 -- as above
        trouble = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.pause(FIRST_PAUSE_SECONDS * 2**attempt)
            try:
                reply = self.client.post(self.url, content=orjson.dumps(body), headers=_HEADERS)
                if reply.status_code == httpx.codes.OK:
                    return orjson.loads(reply.content)
                trouble = f"HTTP {reply.status_code}"
            except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError) as exc:
                trouble = f"{type(exc).__name__}: {exc}"
        raise CannotAuditError(
            f"RPC endpoint {self.url} does not answer ({trouble}); check the URL or give another --rpc"
        )


_HEADERS = {"content-type": "application/json"}


def open_rpc(url: str) -> Rpc:
    """An RPC endpoint by URL; no proxy settings of the environment, no redirects."""
    timeout = httpx.Timeout(30.0, connect=5.0)
    return Rpc(url, httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False))
