"""Endpoints that may be spoken to; `tests/net/hostile_endpoints.json` has those that may not."""

from ipaddress import ip_address

import pytest

from node.core.endpoints import Endpoint, EndpointRules, check_address, is_allowed, parse_endpoint
from node.core.errors import PeerFailed
from tests.net.hostile import CASES

SAFE, PRIVATE = EndpointRules(), EndpointRules(is_private=True)


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("https://peer.example", Endpoint(True, "peer.example", 443, ""), "peer.example"),
        ("https://Peer.Example/", Endpoint(True, "peer.example", 443, ""), "peer.example"),
        ("https://peer.example:8443/a/b/", Endpoint(True, "peer.example", 8443, "/a/b"), "peer.example:8443"),
        ("https://93.184.216.34", Endpoint(True, "93.184.216.34", 443, ""), "93.184.216.34"),
        ("https://[2600:1406::1]:8443", Endpoint(True, "2600:1406::1", 8443, ""), "[2600:1406::1]:8443"),
        ("https://xn--bcher-kva.example", Endpoint(True, "xn--bcher-kva.example", 443, ""), "xn--bcher-kva.example"),
    ],
)
def test_endpoint__well_spelt__is_parsed(url: str, expected: Endpoint, authority: str) -> None:
    assert parse_endpoint(url, SAFE) == expected
    assert expected.authority == authority


@pytest.mark.parametrize("url", CASES["urls"])
def test_endpoint__hostile__is_refused(url: str) -> None:
    with pytest.raises(PeerFailed):
        parse_endpoint(url, SAFE)


def test_endpoint__private_network__allows_http_any_port_and_loopback_but_no_odd_spelling() -> None:
    assert parse_endpoint("http://127.0.0.1:8000", PRIVATE) == Endpoint(False, "127.0.0.1", 8000, "")
    assert parse_endpoint("http://localhost", PRIVATE).authority == "localhost"
    for url in ("http://user@127.0.0.1", "http://2130706433", "ftp://127.0.0.1", "http://224.0.0.1", "http://0.0.0.0"):
        with pytest.raises(PeerFailed):
            parse_endpoint(url, PRIVATE)


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2600::1", "2a00:1450::5"])
def test_address__global__is_allowed(text: str) -> None:
    assert str(check_address(text, SAFE)) == text


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2001::1", "fd00::1"]
)
def test_address__private_or_wrapped__is_not_allowed_even_if_what_it_wraps_is_global(text: str) -> None:
    assert not is_allowed(ip_address(text), SAFE)
