"""The paid routes' own HTTP: pipelining, 100-continue, keep-alive, hang-ups. Raw sockets: nothing is smoothed."""

import asyncio

from tests.lab.fixtures import Lab, lab, open_lab, tokens

__all__ = ["lab", "open_lab", "tokens"]


def request(lab: Lab, *extra: str, body: bytes | None = None, stream: bool = False) -> tuple[bytes, bytes]:
    """Head and body of a paid request."""
    body = lab.body(stream=stream) if body is None else body
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in lab.headers(body).items()),
        *extra,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n", body


async def connect(lab: Lab) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = lab.node.base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one plain answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def test_pipelined_requests__are_answered_in_order_and_charged_once_each(lab: Lab) -> None:
    reader, writer = await connect(lab)
    writer.write(b"".join(b"".join(request(lab)) for _ in range(3)))
    heads = [(await read_answer(reader))[0] for _ in range(3)]
    writer.close()
    assert [head.split(b"\r\n")[0] for head in heads] == [b"HTTP/1.1 200 OK"] * 3
    assert len({head.lower().split(b"payment-response: ")[1].split(b"\r\n")[0] for head in heads}) == 3


async def test_expect_100_continue__is_told_when_the_body_is_wanted(lab: Lab) -> None:
    reader, writer = await connect(lab)
    head, body = request(lab, "Expect: 100-continue")
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_answer(reader))[0].startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_connection_close__is_answered_then_closed(lab: Lab) -> None:
    for stream in (False, True):
        reader, writer = await connect(lab)
        writer.write(b"".join(request(lab, "Connection: close", stream=stream)))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close\r\n" in answer
        writer.close()


async def test_framework_route_after_a_paid_one__on_one_connection(lab: Lab) -> None:
    reader, writer = await connect(lab)
    writer.write(b"".join(request(lab)))
    await read_answer(reader)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_answer(reader))[1] == b'{"status":"ok"}'
    writer.write(b"".join(request(lab)))
    assert (await read_answer(reader))[0].startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_get_on_a_paid_path__is_no_route(lab: Lab) -> None:
    assert (await lab.http.get("/v1/chat/completions")).status_code == 404


async def test_pipelined_then_gone__the_first_is_cancelled_and_closed_in_the_books(lab: Lab) -> None:
    lab.stub.order("delay=0.2")
    reader, writer = await connect(lab)
    writer.write(b"".join(b"".join(request(lab, stream=True)) for _ in range(2)))
    await reader.readuntil(b"data: ")
    writer.transport.abort()
    async with asyncio.timeout(30):
        await lab.node.serving._idle.wait()
    text = (await lab.http.get("/metrics")).text
    assert 'wwwserve_receipts_total{status="cancelled"} 1.0' in text
    assert 'wwwserve_receipts_total{status="complete"} 0.0' in text
