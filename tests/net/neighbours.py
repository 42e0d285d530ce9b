"""ports.network for tests: everybody registered is believed in, and peers are spoken to over plain aiohttp."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import aiohttp

from node.core.errors import EngineFailed, PeerFailed
from node.core.membership.members import Liveness, Member, Registered
from node.core.types import Address
from node.ports.network import Limits, PeerReply, StreamCall


@dataclass
class FakeMembership:
    """Alive until a test (or a reported failure) says otherwise."""

    found: dict[Address, Member] = field(default_factory=dict)
    reported: list[Address] = field(default_factory=list)

    def add(self, payee: Address, operator: Address, endpoint: str) -> None:
        self.found[payee] = Member(Registered(payee, operator, endpoint), Liveness.ALIVE, is_alive=True, incarnation=1)

    def kill(self, payee: Address) -> None:
        self.found[payee] = replace(self.found[payee], is_alive=False, state=Liveness.DEAD)

    def alive(self, payee: Address) -> bool:
        return payee in self.found and self.found[payee].is_alive

    def member(self, payee: Address) -> Member | None:
        return self.found.get(payee)

    def members(self) -> Mapping[Address, Member]:
        return dict(self.found)

    def report_failure(self, payee: Address) -> None:
        self.reported.append(payee)


class PlainPeers:
    """ports.network.Peers without its safety: only tests speak like this."""

    def __init__(self) -> None:
        self._http = aiohttp.ClientSession()

    async def post_json(self, member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        timeout = aiohttp.ClientTimeout(total=limits.seconds)
        try:
            async with self._http.post(member.endpoint + path, json=body, timeout=timeout) as reply:
                return PeerReply(reply.status, await reply.json())
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise PeerFailed(f"{exc!r}") from exc

    async def post_packet(self, member: Member, packet: bytes, limits: Limits) -> bytes:
        raise NotImplementedError

    def open_stream(self, member: Member, call: StreamCall) -> "PlainExchange":
        return PlainExchange(self._http, member.endpoint + call.path, call)

    async def close(self) -> None:
        await self._http.close()


class PlainExchange:
    """ports.network.PeerExchange."""

    def __init__(self, http: aiohttp.ClientSession, url: str, call: StreamCall) -> None:
        self._http, self._url, self._call = http, url, call
        self._reply: aiohttp.ClientResponse | None = None

    async def start(self) -> int:
        headers = {"content-type": "application/json", **self._call.headers}
        try:
            self._reply = await self._http.post(self._url, data=self._call.body, headers=headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise EngineFailed(f"{exc!r}") from exc
        return self._reply.status

    async def read(self) -> bytes:
        assert self._reply is not None
        try:
            return await self._reply.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise EngineFailed(f"{exc!r}") from exc

    def header(self, name: str) -> str | None:
        assert self._reply is not None
        return self._reply.headers.get(name)

    def cancel(self) -> None:
        if self._reply is not None:
            self._reply.close()
