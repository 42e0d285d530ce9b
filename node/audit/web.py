"""HTTP GET of JSON from endpoints that strangers put into a registry. It follows no redirect and sends no secret.

Attack stopped (SSRF): an endpoint that names this machine or a private network, by address, by DNS or by redirect. So:
https only, one resolution, every address public, and the connection goes to the very address that was checked.
"""

import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from node.audit.errors import UnservedError

MAX_BODY_BYTES = 64 * 1024 * 1024
"""A page of 1,000 receipts is about 2.5 MB; a stranger's endless body must not fill this machine's memory."""
ATTEMPTS = 5
PAUSE_SECONDS = 0.5
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Web:
    """A reader. `allows_private` is the owner's word that the endpoints are its own."""

    client: httpx.Client
    allows_private: bool = False
    pause: Callable[[float], None] = time.sleep

    def get_json(self, base: str, path: str, params: Mapping[str, str | int]) -> Any:  # noqa: ANN401 -- any JSON
        """The JSON at `base + path`. Raises UnservedError."""
        host, address = self._checked(base)
        trouble = UnservedError("not asked")
        for attempt in range(ATTEMPTS):
            if attempt:
                self.pause(PAUSE_SECONDS * attempt)
            try:
                return self._get(base.rstrip("/") + path, params, host, address)
            except UnservedError as exc:
                trouble = exc
                if httpx.codes.is_client_error(exc.status) and exc.status != httpx.codes.TOO_MANY_REQUESTS:
                    break  # a refusal: the same question gets the same answer
        raise trouble

    def _get(self, url: str, params: Mapping[str, str | int], host: str, address: str) -> Any:  # noqa: ANN401
        parts = urlsplit(url)
        shown = f"[{address}]" if ":" in address else address
        pinned = parts._replace(netloc=f"{shown}:{parts.port}" if parts.port else shown).geturl()
        extensions = {"sni_hostname": host} if parts.scheme == "https" else {}
        try:
            with self.client.stream(
                "GET", pinned, params=dict(params), headers={"host": parts.netloc}, extensions=extensions
            ) as reply:
                body = _body_of(reply)
                if reply.status_code != httpx.codes.OK:
                    raise UnservedError(f"HTTP {reply.status_code} for {parts.path}", reply.status_code)
            return orjson.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise UnservedError(f"{type(exc).__name__} for {url}") from exc
        except orjson.JSONDecodeError as exc:
            raise UnservedError(f"no JSON at {parts.path}") from exc

    def check(self, base: str) -> None:
        """Raises UnservedError for an endpoint that must not be asked; sends nothing."""
        self._checked(base)

    def _checked(self, base: str) -> tuple[str, str]:
        """(host name, checked address). Raises UnservedError for an endpoint that must not be asked."""
        parts = _split(base)
        host = parts.hostname or ""
        if parts.scheme not in ("https", "http") or not host or parts.username or parts.query or parts.fragment:
            raise UnservedError(f"{base!r} is no endpoint URL", 400)
        if parts.scheme == "http" and not self.allows_private:
            raise UnservedError(f"{base!r} is not https (--allow-private accepts it)", 400)
        addresses = _resolve(host, parts.port or (443 if parts.scheme == "https" else 80))
        if not self.allows_private and not all(is_public(address) for address in addresses):
            raise UnservedError(f"{base!r} leads to a private address (--allow-private accepts it)", 400)
        return host, str(addresses[0])


def _split(base: str) -> Any:  # noqa: ANN401 -- SplitResult, whose port may raise
    try:
        parts = urlsplit(base)
        _ = parts.port
    except ValueError as exc:
        raise UnservedError(f"{base!r} is no endpoint URL", 400) from exc
    return parts


def _resolve(host: str, port: int) -> list[IpAddress]:
    with contextlib.suppress(ValueError):
        return [ipaddress.ip_address(host)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise UnservedError(f"{host} has no address") from exc
    return [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]


def is_public(address: IpAddress) -> bool:
    """Global unicast, also when it is wrapped in IPv6 (mapped, 6to4, NAT64, Teredo)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _body_of(reply: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in reply.iter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UnservedError("the answer is too large", 400)
    return bytes(body)


def open_web(*, allows_private: bool) -> Web:
    """A reader with deadlines; no proxy settings of the environment, no redirects, no cookies kept."""
    timeout = httpx.Timeout(30.0, connect=5.0)
    return Web(httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False), allows_private)
