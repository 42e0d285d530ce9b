"""The client connection's listener: told of data, of the end and of failures, and never after its request is over."""

import asyncio

import pytest

from node.adapters.http1 import Connection
from node.core.errors import EngineFailed

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class FakeTransport(asyncio.Transport):
    """Takes what is written; an abort is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.is_aborted = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        pass

    def abort(self) -> None:
        self.is_aborted = True


def opened(idle: list[Connection]) -> Connection:
    connection = Connection(idle.append)
    connection.connection_made(FakeTransport())
    connection.write_request(b"GET / HTTP/1.1\r\n\r\n")
    return connection


def listening(connection: Connection) -> list[bytes | None]:
    taken: list[bytes | None] = []

    def on_more() -> None:
        taken.append(connection.take())

    connection.listen(on_more)
    return taken


async def test_listener__data_and_end_in_one_read__told_of_both() -> None:
    idle: list[Connection] = []
    connection = opened(idle)
    connection.data_received(HEAD)
    taken = listening(connection)
    connection.data_received(b"3\r\nabc\r\n0\r\n\r\n")
    assert taken == [b"abc", b""]
    assert idle == [connection]


async def test_listener__request_over__hears_nothing_of_the_next() -> None:
    idle: list[Connection] = []
    connection = opened(idle)
    connection.data_received(HEAD)
    taken = listening(connection)
    connection.data_received(b"0\r\n\r\n")
    connection.write_request(b"GET / HTTP/1.1\r\n\r\n")
    connection.data_received(HEAD + b"3\r\nabc\r\n")
    assert taken == [b""]


async def test_listener__aborted__gets_the_reason_once() -> None:
    connection = opened([])
    connection.data_received(HEAD)
    reasons: list[str] = []

    def on_more() -> None:
        try:
            connection.take()
        except EngineFailed as exc:
            reasons.append(exc.message)
            connection.abort("again")  # as an exchange does that cancels on any failure

    connection.listen(on_more)
    connection.abort("cancelled")
    assert reasons == ["cancelled"]


async def test_listener__connection_lost__gets_what_came_then_the_failure() -> None:
    connection = opened([])
    connection.data_received(HEAD + b"3\r\nabc\r\n")
    connection.connection_lost(None)
    assert connection.take() == b"abc"
    with pytest.raises(EngineFailed):
        connection.take()


@pytest.mark.parametrize("trailers", [b"x: " + b"a" * 1_000 + b"\r\n", b"a" * 1_000])
async def test_trailers__without_end__are_no_answer(trailers: bytes) -> None:
    connection = opened([])
    connection.data_received(HEAD + b"1\r\na\r\n0\r\nx: ")
    for _ in range(1_000):
        if connection.is_closed or connection._transport.is_aborted:  # type: ignore[union-attr]
            break
        connection.data_received(trailers)
    else:
        pytest.fail("a megabyte of trailers was taken")


async def test_body__of_many_small_chunks__is_no_trailer() -> None:
    connection = opened([])
    connection.data_received(HEAD)
    for _ in range(20_000):
        connection.data_received(b"1\r\na\r\n")
    assert not connection.is_closed
