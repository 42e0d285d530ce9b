"""Connections to members: checked address, TLS to the registered name, and the operator key's proof before any body.

Keeps a connection that carried a whole answer for the next request to the same member with the same key and endpoint.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from node.adapters.http1 import Connection
from node.adapters.peers.resolving import Resolver, pinned_addresses
from node.core.endpoints import Endpoint, EndpointRules, parse_endpoint
from node.core.errors import BadVoucher, PeerFailed, WrongSignature
from node.core.hashing import Domain, keccak
from node.core.identity import IDENTITY_PATH, Identity
from node.core.membership.members import Member
from node.core.types import ZERO32, Address, Bytes32, Signature
from node.core.wire import bytes_of, hex_of, signature_of

IDLE_SECONDS = 25.0
"""Shorter than the other side's keep-alive (30 s): a new connection costs three round trips and a proof."""
MAX_IDLE = 256
MAX_PROOF_BYTES = 4_096
CONNECT_SECONDS = 3.0
HEADERS = frozenset({b"content-type", b"content-encoding", b"payment-response", b"payment-required", b"retry-after"})
"""What anybody here reads of an answer's head."""

Recover = Callable[[Bytes32, Signature], Address]
Key = tuple[str, Address, Address, str]


@dataclass(frozen=True, slots=True)
class DialSettings:
    """How members may be reached. `tls`: the trust store."""

    rules: EndpointRules = EndpointRules()
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


class Dialer:
    """Makes and keeps connections."""

    def __init__(self, settings: DialSettings, resolver: Resolver, domain: Domain, recover: Recover) -> None:
        self._settings = settings
        self._resolver = resolver
        self._domain = domain
        self._recover = recover
        self._idle: dict[Key, list[tuple[float, Connection]]] = {}
        self._idle_count = 0
        self._is_closed = False
        self._proving: set[Connection] = set()

    def endpoint_of(self, member: Member) -> Endpoint:
        """Raises PeerFailed for an endpoint that may not be spoken to."""
        return parse_endpoint(member.endpoint, self._settings.rules)

    async def proven(self, member: Member) -> Connection:
        """A connection whose other end has shown the member's operator key. Raises PeerFailed, EngineFailed."""
        key = _key_of("proven", member)
        kept = self._take(key)
        if kept is not None:
            return kept
        connection = await self._dial(member, key)
        self._proving.add(connection)  # not to be given to anybody else at the end of the proof
        try:
            await self._prove(connection, member)
        except BaseException:
            connection.abort("not the registered operator key")
            raise
        finally:
            self._proving.discard(connection)
        return connection

    async def plain(self, member: Member) -> Connection:
        """A connection of which nothing is known but its address. Raises PeerFailed."""
        key = _key_of("plain", member)
        return self._take(key) or await self._dial(member, key)

    def close(self) -> None:
        """Drop what is kept."""
        self._is_closed = True
        for kept in self._idle.values():
            for _, connection in kept:
                connection.abort("shutting down")
        self._idle.clear()

    async def _dial(self, member: Member, key: Key) -> Connection:
        endpoint = self.endpoint_of(member)
        addresses = await pinned_addresses(endpoint, self._settings.rules, self._resolver)
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._connect(endpoint, address, key)
            except (OSError, TimeoutError) as exc:  # ssl.SSLError is an OSError
                failure = exc
        raise PeerFailed("a peer does not answer") from failure

    async def _connect(self, endpoint: Endpoint, address: str, key: Key) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, made = await loop.create_connection(
                lambda: Connection(lambda idle: self._keep(key, idle), HEADERS),
                address,
                endpoint.port,
                ssl=self._settings.tls if endpoint.is_tls else None,
                server_hostname=endpoint.host if endpoint.is_tls else None,
            )
        if made.peer_address != address:
            made.abort("connected to another address than was checked")
            raise PeerFailed("a connection went to another address than was checked")
        return made

    async def _prove(self, connection: Connection, member: Member) -> None:
        """A fresh challenge, bound to the certificate we see (threat H2). Raises PeerFailed, EngineFailed."""
        endpoint, nonce = self.endpoint_of(member), Bytes32(secrets.token_bytes(32))
        path = f"{endpoint.prefix}{IDENTITY_PATH}?nonce={hex_of(nonce)}"
        connection.write_request(f"GET {path} HTTP/1.1\r\nhost: {endpoint.authority}\r\n\r\n".encode())
        status = await read_head(connection)
        if status != 200:
            raise PeerFailed("a peer does not prove who it is", peer_status=status)
        body = await read_whole(connection, MAX_PROOF_BYTES)
        seen = connection.certificate
        channel = ZERO32 if seen is None else keccak(seen)
        self._check_proof(body, Identity(member.payee, nonce, channel), member.operator)

    def _check_proof(self, body: bytes, expected: Identity, operator: Address) -> None:
        try:
            document = orjson.loads(body)
            channel = bytes_of(document["channel"], 32, "channel")
            signature = signature_of(document["signature"])
            signer = self._recover(self._domain.digest(expected.struct_hash()), signature)
        except (orjson.JSONDecodeError, BadVoucher, WrongSignature, KeyError, TypeError) as exc:
            raise PeerFailed("a peer does not prove who it is") from exc
        if channel != expected.channel:
            raise PeerFailed("a peer's operator key does not vouch for the certificate that was shown to us")
        if signer != operator:
            raise PeerFailed("a peer is not who the registry says")

    def _take(self, key: Key) -> Connection | None:
        oldest = time.monotonic() - IDLE_SECONDS
        kept = self._idle.get(key, [])
        while kept:
            since, connection = kept.pop()
            self._idle_count -= 1
            if since >= oldest and not connection.is_closed:
                return connection
            connection.abort("idle for too long")
        self._idle.pop(key, None)
        return None

    def _keep(self, key: Key, connection: Connection) -> None:
        if connection in self._proving:
            return
        if self._idle_count >= MAX_IDLE:
            self._drop_old()
        if self._is_closed or self._idle_count >= MAX_IDLE:
            connection.abort("not kept")
            return
        self._idle.setdefault(key, []).append((time.monotonic(), connection))
        self._idle_count += 1

    def _drop_old(self) -> None:
        for key in list(self._idle):
            kept = self._take(key)
            if kept is not None:
                self._idle.setdefault(key, []).append((time.monotonic(), kept))
                self._idle_count += 1


def _key_of(kind: str, member: Member) -> Key:
    return (kind, member.payee, member.operator, member.endpoint)


async def read_head(connection: Connection) -> int:
    """The status, once the head is in. Raises PeerFailed for a redirect or an encoding, EngineFailed."""
    status = await connection.wait_head()
    why = None
    if 300 <= status < 400:
        why = "a peer answers with a redirect, which is never followed"
    elif connection.headers.get("content-encoding", "identity") != "identity":
        why = "a peer's answer is encoded, which was not asked for"
    elif not connection.is_framed:
        why = "a peer's answer does not say where it ends"
    if why is not None:
        connection.abort(why)
        raise PeerFailed(why)
    return status


async def read_whole(connection: Connection, max_bytes: int) -> bytes:
    """A body of at most `max_bytes`, counted, with a proper end. Raises PeerFailed, EngineFailed."""
    parts: list[bytes] = []
    size = 0
    while part := await connection.read():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            connection.abort("too large")
            raise PeerFailed("a peer's answer is too large", limit=max_bytes)
    return b"".join(parts)
