"""Whether a registered endpoint may be spoken to: its spelling, and the addresses its name stands for (threat H1).

Anybody with a stake may register any text. One spelling is accepted and everything else refused, so that no two
parsers can read it differently; and only global unicast addresses, whichever way a private one is wrapped.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from node.core.errors import PeerFailed

IpAddress = IPv4Address | IPv6Address

NOT_GLOBAL_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's host agent on an address that looks public
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""IANA's special-purpose registry for IPv4, multicast and reserved space."""
GLOBAL_6 = IPv6Network("2000::/3")
"""All that is allotted as global unicast: loopback, mapped and compatible IPv4, NAT64, ULA, link-local lie outside."""
NOT_GLOBAL_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo, benchmarking, ORCHID and the rest of the protocol assignments
            "2001:db8::/32",
            "2002::/16",  # 6to4 wraps any IPv4 address
            "2620:4f:8000::/48",
            "3fff::/20",
        ),
    )
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MAX_URL = 256
MAX_HOPS = 2
"""How often a request may be passed on: A to B is one, B to C two; enough to find help, too few to amplify (H8)."""


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """`is_private`: a development network; http, loopback, private addresses and any port are fine there."""

    is_private: bool = False
    ports: frozenset[int] = frozenset({443, 8443})
    """TLS ports alone, so that nobody points us at a mail server or a database."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A well-spelt endpoint, not resolved yet."""

    is_tls: bool
    host: str
    port: int
    prefix: str

    @property
    def authority(self) -> str:
        """The Host field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def parse_endpoint(url: str, rules: EndpointRules) -> Endpoint:
    """Raises PeerFailed saying what is wrong with it."""
    if len(url) > MAX_URL or not url.isascii() or any(ord(c) <= 32 or c in '\\"<>^`{|}\x7f' for c in url):
        raise PeerFailed("a peer's endpoint has characters that a URL cannot have")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise PeerFailed("a peer's endpoint is no URL") from exc
    if parts.scheme != "https" and not (rules.is_private and parts.scheme == "http"):
        raise PeerFailed("a peer's endpoint must be https")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url or "%" in url:
        raise PeerFailed("a peer's endpoint must be scheme, host, port and path, nothing else")
    is_tls = parts.scheme == "https"
    port = port if port is not None else (443 if is_tls else 80)
    if not 0 < port < 65536 or (not rules.is_private and port not in rules.ports):
        raise PeerFailed("a peer's endpoint names a port that is not for peers")
    prefix = parts.path.rstrip("/")
    if prefix and (not prefix.startswith("/") or "//" in prefix or "/." in prefix):
        raise PeerFailed("a peer's endpoint has a path that is not plain")
    return Endpoint(is_tls, _checked_host(parts.netloc, parts.hostname, rules), port, prefix)


def _checked_host(netloc: str, host: str | None, rules: EndpointRules) -> str:
    if not host or len(host) > 253:
        raise PeerFailed("a peer's endpoint has no host")
    if ":" in host or netloc.startswith("["):
        return str(check_address(host, rules))
    labels = host.split(".")
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        return str(check_address(host, rules))  # a number in disguise (octal, hex, one number) does not parse
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise PeerFailed("a peer's endpoint has a host that is no plain name")
    if len(labels) == 1 and not rules.is_private:
        raise PeerFailed("a peer's endpoint has a local name")
    return host


def check_address(text: str, rules: EndpointRules) -> IpAddress:
    """One address in its usual spelling. Raises PeerFailed unless it may be connected to."""
    try:
        address = ip_address(text)
    except ValueError as exc:
        raise PeerFailed("a peer's address is not in its usual spelling") from exc
    if not is_allowed(address, rules):
        raise PeerFailed("a peer's address is not global")
    return address


def is_allowed(address: IpAddress, rules: EndpointRules) -> bool:
    """Global unicast; on a private network every unicast address."""
    if rules.is_private:
        return not (address.is_multicast or address.is_unspecified)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_GLOBAL_4)
    is_scoped = address.scope_id is not None
    return not is_scoped and address in GLOBAL_6 and not any(address in network for network in NOT_GLOBAL_6)
