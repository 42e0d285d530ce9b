"""`ports.Peers`: requests to members, built here field by field: no cookie, no proxy, no redirect, no caller's header.

Decides nothing about money or routing.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from node.adapters.http1 import Connection
from node.adapters.peers.dialing import Dialer, DialSettings, Recover, read_head, read_whole
from node.adapters.peers.exchange import PeerStream
from node.adapters.peers.resolving import Resolver, SystemResolver
from node.core.endpoints import MAX_HOPS, EndpointRules
from node.core.errors import EngineFailed, PeerFailed
from node.core.hashing import Domain
from node.core.membership.members import Member
from node.ports.network import Limits, PeerReply, StreamCall

PACKET_PATH = "/v1/peer/packets"
PASSED_ON = frozenset({"payment-signature", "accept"})
JSON = "application/json"
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """See DialSettings."""

    rules: EndpointRules = EndpointRules()
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


class HttpPeers:
    """See module."""

    def __init__(
        self, settings: PeerSettings, domain: Domain, recover: Recover, resolver: Resolver | None = None
    ) -> None:
        self._own = SystemResolver() if resolver is None else None
        chosen = resolver if resolver is not None else self._own
        assert chosen is not None
        self._dialer = Dialer(DialSettings(settings.rules, settings.tls), chosen, domain, recover)

    def close(self) -> None:
        """Drop idle connections and the resolver's threads."""
        self._dialer.close()
        if self._own is not None:
            self._own.close()

    async def post_json(self, member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        """See ports.Peers."""
        async with _within(limits):
            connection = await self._dialer.proven(member)
            status, raw = await self._exchange(connection, member, path, (JSON, orjson.dumps(body)), limits)
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError as exc:
            raise PeerFailed("a peer's answer is not JSON") from exc
        if not isinstance(document, dict):
            raise PeerFailed("a peer's answer is no JSON object")
        return PeerReply(status, document)

    async def post_packet(self, member: Member, packet: bytes, limits: Limits) -> bytes:
        """See ports.Peers."""
        async with _within(limits):
            connection = await self._dialer.plain(member)
            status, raw = await self._exchange(connection, member, PACKET_PATH, (OCTETS, packet), limits)
        if status != 200:
            raise PeerFailed("a peer refuses our packet", peer_status=status)
        return raw

    def open_stream(self, member: Member, call: StreamCall) -> PeerStream:
        """See ports.Peers."""

        async def begin() -> Connection:
            if call.hops > MAX_HOPS:
                raise PeerFailed("this request has passed through as many nodes as it may")
            extra = {name.lower(): text for name, text in call.headers.items() if name.lower() in PASSED_ON}
            request = self._request(member, call.path, (JSON, call.body), extra)
            connection = await self._dialer.proven(member)
            connection.write_request(request)
            return connection

        return PeerStream(call, begin)

    async def _exchange(
        self, connection: Connection, member: Member, path: str, content: tuple[str, bytes], limits: Limits
    ) -> tuple[int, bytes]:
        """One request, one whole answer."""
        try:
            connection.write_request(self._request(member, path, content, {}))
            status = await read_head(connection)
            return status, await read_whole(connection, limits.max_bytes)
        except BaseException:
            connection.abort("given up")
            raise

    def _request(self, member: Member, path: str, content: tuple[str, bytes], extra: Mapping[str, str]) -> bytes:
        """The whole request. Raises PeerFailed for an endpoint that may not be spoken to."""
        endpoint = self._dialer.endpoint_of(member)
        kind, body = content
        fields = {"host": endpoint.authority, "content-type": kind, "content-length": str(len(body)), **extra}
        head = "".join(f"{name}: {_checked(text)}\r\n" for name, text in fields.items())
        return f"POST {endpoint.prefix}{path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _checked(text: str) -> str:
    """A field's value cannot end the field (threat H5)."""
    if not text.isascii() or not text.isprintable():
        raise PeerFailed("a header field has characters that it cannot have")
    return text


class _within:  # noqa: N801 -- used like a function
    """The time limit, and an engine-shaped failure of the connection as PeerFailed."""

    def __init__(self, limits: Limits) -> None:
        self._timeout = asyncio.timeout(limits.seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, exc, trace)  # type: ignore[arg-type]
        except TimeoutError as late:
            raise PeerFailed("a peer took too long") from late
        if isinstance(exc, EngineFailed):
            raise PeerFailed(exc.message) from exc
