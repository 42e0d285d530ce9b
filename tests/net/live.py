"""Nodes that speak the membership protocol over real sockets of this process: services, routes, HTTP, keys."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from node.adapters.clock import SystemClock
from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.peers import HttpPeers, PeerSettings
from node.api.app import add_error_handlers
from node.api.peer import PeerServices, peer_routes
from node.api.server import server_config
from node.core.endpoints import EndpointRules
from node.core.membership.members import Registered
from node.core.types import Address, Amount
from node.services.identity import Prover
from node.services.membership import MembershipParts, MembershipService
from tests.factories import DOMAIN


@dataclass
class Registry:
    """ports.network.ProviderBook: one list that all nodes read."""

    listed: list[Registered] = field(default_factory=list)

    async def load_registered(self) -> Sequence[Registered]:
        return list(self.listed)


def signer_of(number: int) -> LocalSigner:
    return LocalSigner(Secret(bytes([number]) * 32))


def payee_of(number: int) -> Address:
    return Address(bytes([number]) * 20)


@dataclass
class LiveNode:
    """One node; `stop` is a crash: no goodbye."""

    number: int
    registry: Registry
    port: int = 0
    service: MembershipService | None = None
    _server: uvicorn.Server | None = None
    _task: asyncio.Task[None] | None = None
    _peers: HttpPeers | None = None

    @property
    def payee(self) -> Address:
        return payee_of(self.number)

    async def start(self) -> None:
        signer = signer_of(self.number)
        self._peers = HttpPeers(PeerSettings(EndpointRules(is_private=True)), DOMAIN, recover)
        dice = random.Random(self.number)
        parts = MembershipParts(self.payee, DOMAIN, signer, recover, SystemClock(), self._peers, self.registry, dice)
        self.service = MembershipService(parts)
        app = FastAPI()
        add_error_handlers(app)
        app.include_router(peer_routes(PeerServices(self.service, Prover(self.payee, DOMAIN, signer, lambda: None))))
        await self._listen(app)
        if all(one.payee != self.payee for one in self.registry.listed):
            endpoint = f"http://127.0.0.1:{self.port}"
            self.registry.listed.append(Registered(self.payee, signer.address, endpoint, Amount(1)))

    async def _listen(self, app: FastAPI) -> None:
        self._server = uvicorn.Server(server_config(app, "127.0.0.1", self.port, timeout_graceful_shutdown=1))
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._task = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """A crash: the loop ends and the port closes, nobody is told."""
        assert self.service is not None
        if self.service._runner is not None:
            self.service._runner.cancel()
        await self._close()

    async def _close(self) -> None:
        assert self._server is not None
        assert self._task is not None
        assert self._peers is not None
        self._server.should_exit = True
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # kept connections would go on answering for the dead
        await self._task
        self._peers.close()

    def believes_in(self, number: int) -> bool:
        assert self.service is not None
        return self.service.alive(payee_of(number))


@contextlib.asynccontextmanager
async def live_network(count: int) -> AsyncIterator[list[LiveNode]]:
    """All started, all registered, all refreshed; stopped at the end whatever happened to them."""
    registry = Registry()
    nodes = [LiveNode(number, registry) for number in range(1, count + 1)]
    for node in nodes:
        await node.start()
    for node in nodes:
        assert node.service is not None
        await node.service.refresh()
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()
