"""Endpoints that strangers registered: what is asked, what never is (threat H1), and what an answer may do to us."""

import socket

import httpx
import pytest

from node.audit.errors import UnservedError
from node.audit.web import MAX_BODY_BYTES, Web, is_public
from tests.frauds.auditing import no_pause

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.1.1",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "fc00::1",
    "fe80::1",
    "ff02::1",
    "2001:db8::1",
]
URLS = [
    "ftp://example.com",
    "https://",
    "https:///path",
    "https://user@example.com",
    "https://user:secret@example.com",
    "https://example.com?x=1",
    "https://example.com#x",
    "https://example.com:99999",
    "https://[::1",
    "javascript:alert(1)",
    "example.com",
    "",
]


def resolving_to(*addresses: str):
    def resolve(_host: str, _port: int, **_: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    return resolve


def web_of(handler: object, *, allows_private: bool = False) -> Web:
    return Web(httpx.Client(transport=httpx.MockTransport(handler)), allows_private, no_pause)


def never(_request: httpx.Request) -> httpx.Response:
    raise AssertionError("it was asked")


@pytest.mark.parametrize("address", PRIVATE)
def test_get_json__name_of_a_private_address__is_never_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to(address))
    with pytest.raises(UnservedError, match="private"):
        web_of(never).get_json("https://provider.example", "/v1/offers/current", {})


def test_get_json__one_of_two_addresses_is_private__is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to("93.184.216.34", "127.0.0.1"))
    with pytest.raises(UnservedError, match="private"):
        web_of(never).get_json("https://provider.example", "/", {})


@pytest.mark.parametrize("url", URLS)
def test_get_json__no_endpoint_url__is_never_asked(url: str) -> None:
    with pytest.raises(UnservedError):
        web_of(never, allows_private=True).get_json(url, "/", {})


def test_get_json__plain_http__needs_leave() -> None:
    with pytest.raises(UnservedError, match="https"):
        web_of(never).get_json("http://93.184.216.34", "/", {})


def test_get_json__public_name__connects_to_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to("93.184.216.34"))
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"a": 1})

    assert web_of(answer).get_json("https://provider.example/base/", "/v1/x", {"from": 5}) == {"a": 1}
    request = seen[0]
    assert str(request.url) == "https://93.184.216.34/base/v1/x?from=5"
    assert request.headers["host"] == "provider.example"
    assert request.extensions["sni_hostname"] == "provider.example"


def test_get_json__redirect__is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to("93.184.216.34"))
    asked = []

    def moved(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"location": "http://169.254.169.254/"})

    with pytest.raises(UnservedError, match="302"):
        web_of(moved).get_json("https://provider.example", "/", {})
    assert {request.url.host for request in asked} == {"93.184.216.34"}


def test_get_json__name_unknown__is_unserved(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnservedError, match="no address"):
        web_of(never).get_json("https://nowhere.example", "/", {})


def test_get_json__endless_body__stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.audit.web.MAX_BODY_BYTES", 1_000)
    assert MAX_BODY_BYTES > 1_000
    web = web_of(lambda _request: httpx.Response(200, content=b"x" * 1_001), allows_private=True)
    with pytest.raises(UnservedError, match="too large"):
        web.get_json("http://127.0.0.1", "/", {})


@pytest.mark.parametrize(("status", "times"), [(404, 1), (410, 1), (500, 5), (503, 5)])
def test_get_json__refused_or_down__asks_again_only_when_it_helps(status: int, times: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={})

    with pytest.raises(UnservedError) as caught:
        web_of(answer, allows_private=True).get_json("http://127.0.0.1", "/", {})
    assert (caught.value.status, len(asked)) == (status, times)


def test_get_json__connection_lost__is_unserved() -> None:
    def lost(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    with pytest.raises(UnservedError, match="ReadError"):
        web_of(lost, allows_private=True).get_json("http://127.0.0.1", "/", {})


def test_get_json__no_json__is_unserved() -> None:
    web = web_of(lambda _request: httpx.Response(200, content=b"<html>"), allows_private=True)
    with pytest.raises(UnservedError, match="JSON"):
        web.get_json("http://127.0.0.1", "/", {})


def test_is_public__ordinary_addresses__are() -> None:
    import ipaddress

    assert is_public(ipaddress.ip_address("93.184.216.34"))
    assert is_public(ipaddress.ip_address("2606:2800:220:1::1"))
