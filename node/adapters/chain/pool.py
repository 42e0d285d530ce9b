"""Several RPC endpoints as one: the first healthy one answers, a failing one rests, another chain's never counts."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.adapters.chain.endpoint import Endpoint, EndpointDown, JsonValue, RpcError
from node.core.errors import BadConfig, ChainUnavailable

IsAnswer = Callable[[JsonValue], bool]


@dataclass(frozen=True, slots=True)
class Said:
    """What one endpoint answered: a result, or the error it gave."""

    endpoint: Endpoint
    result: JsonValue = None
    error: RpcError | None = None


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """One endpoint as `/readyz` shows it."""

    name: str
    is_up: bool
    reason: str
    head: int


class Pool:
    """Endpoints in the order of preference. `monotonic` is the clock of all pauses."""

    def __init__(self, endpoints: Sequence[Endpoint], chain_id: int, monotonic: Callable[[], float]) -> None:
        self._endpoints = tuple(endpoints)
        self._chain_id = chain_id
        self._monotonic = monotonic

    def status(self) -> tuple[EndpointStatus, ...]:
        """Health as of the last calls."""
        return tuple(
            EndpointStatus(e.name, is_up=not e.health.reason, reason=e.health.reason, head=e.health.head)
            for e in self._endpoints
        )

    async def call(self, method: str, *params: JsonValue, is_answer: IsAnswer = lambda _: True) -> JsonValue:
        """The first good answer. Raises RpcError (a contract says no), ChainUnavailable or BadConfig (nobody answers).

        An answer that fails `is_answer` (null for a block not seen yet) counts as none; its endpoint is not blamed.
        """
        refusal: RpcError | None = None
        for endpoint in self._ordered():
            said = await self.ask(endpoint, method, *params)
            if said is None:
                continue
            if said.error is None and is_answer(said.result):
                return said.result
            if said.error is not None and said.error.is_revert:
                raise said.error
            refusal = said.error or refusal
        if refusal is not None:
            raise refusal
        raise self._unavailable(method)

    async def ask_usable(self, method: str, *params: JsonValue, limit: int = 99) -> tuple[Said, ...]:
        """Answers of up to `limit` endpoints that work, asked at once; a failing one is replaced by the next.

        Raises ChainUnavailable or BadConfig when none answers.
        """
        waiting, answers = list(self._ordered()), list[Said]()
        while waiting and len(answers) < limit:
            batch, waiting = waiting[: limit - len(answers)], waiting[limit - len(answers) :]
            said = await asyncio.gather(*(self.ask(endpoint, method, *params) for endpoint in batch))
            answers += [one for one in said if one is not None]
        if not answers:
            raise self._unavailable(method)
        return tuple(answers)

    async def ask(self, endpoint: Endpoint, method: str, *params: JsonValue) -> Said | None:
        """One endpoint's answer; None when it is down or on another chain."""
        try:
            if not endpoint.health.is_chain_checked:
                await self._check_chain(endpoint)
            result = await endpoint.call(method, *params)
        except EndpointDown as exc:
            self.mark_down(endpoint, str(exc))
            return None
        except RpcError as exc:
            return Said(endpoint, error=exc)
        endpoint.mark_up()
        return Said(endpoint, result=result)

    async def _check_chain(self, endpoint: Endpoint) -> None:
        try:
            found = int(await endpoint.call("eth_chainId"), 16)
        except (RpcError, ValueError, TypeError) as exc:
            raise EndpointDown("does not tell its chain id") from exc
        if found != self._chain_id:
            raise EndpointDown(f"is on chain {found}, expected {self._chain_id}")
        endpoint.health.is_chain_checked = True

    def mark_down(self, endpoint: Endpoint, reason: str) -> None:
        """Leave an endpoint alone for a while."""
        endpoint.mark_down(reason, self._monotonic())

    def _ordered(self) -> tuple[Endpoint, ...]:
        """Usable endpoints in order; when there is none, all of them: better a try than a refusal."""
        now = self._monotonic()
        usable = tuple(e for e in self._endpoints if e.health.down_until <= now)
        return usable or tuple(sorted(self._endpoints, key=lambda e: e.health.down_until))

    def _unavailable(self, method: str) -> ChainUnavailable | BadConfig:
        reasons = "; ".join(f"{e.name} {e.health.reason}" for e in self._endpoints if e.health.reason)
        if all("is on chain" in e.health.reason for e in self._endpoints):
            return BadConfig(f"wrong chain: {reasons}. Point --rpc at the deployment's chain, or use another file")
        return ChainUnavailable(f"the chain is unreachable: {reasons or 'no answer yet'}", call=method)

    async def close(self) -> None:
        """Give all sockets back."""
        await asyncio.gather(*(endpoint.close() for endpoint in self._endpoints))
