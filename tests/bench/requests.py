"""Load files: whole HTTP requests, length-prefixed, for load.c. Paid ones carry a voucher each, signed beforehand."""

import struct
import time
from collections.abc import Iterable
from pathlib import Path

import orjson

from tests.lab.payer import LabPayer

PATH = "/v1/chat/completions"
KEY = "sk-wwwserve-bench-8c1f0a4e2d7b"
"""LiteLLM wants a key and refuses well-known ones; it opens nothing."""
MAX_PRICE = 2_000
"""Base units: more than any request of the bench can cost."""
START_BY_SECONDS = 3_000
QUESTION = (
    " was that the way they said it could be {number} and what would some people have to do about their time when "
    "you see how many of these words there are now can we use each other for one more look into which way she will "
    "go then write two out of all his numbers"
)
"""Words that the small tokenizer knows whole, so that a token is about five bytes, as with a large vocabulary."""


def chat_body(number: int, *, events: int = 0, gap_microseconds: int = 0) -> bytes:
    """A chat of about 70 prompt tokens; `events` > 0 asks for a stream of that many. Every body is another one."""
    body: dict[str, object] = {
        "model": "stub",
        "messages": [
            {"role": "system", "content": "you are the one"},
            {"role": "user", "content": QUESTION.format(number=number)},
        ],
        "max_tokens": events or 64,
    }
    if events:
        body |= {"stream": True, "seed": gap_microseconds}
    return orjson.dumps(body)


def http_request(body: bytes, headers: str = "") -> bytes:
    """One request with its length before it."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nAccept: */*\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    return struct.pack("<I", len(whole)) + whole


def write_plain(path: Path, bodies: Iterable[bytes]) -> Path:
    """Requests without payment, to be sent over and over."""
    path.write_bytes(b"".join(http_request(body) for body in bodies))
    return path


def write_paid(path: Path, bodies: Iterable[bytes], payer: LabPayer) -> Path:
    """Requests with a voucher each, good for one answer."""
    start_by = int(time.time()) + START_BY_SECONDS
    with path.open("wb") as file:
        for body in bodies:
            voucher = payer.header(payer.terms(body, start_by, MAX_PRICE)).decode()
            file.write(http_request(body, f"PAYMENT-SIGNATURE: {voucher}\r\n"))
    return path
