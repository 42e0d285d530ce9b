"""What a gateway refuses of a body before anything is counted or paid."""

import pytest

from node.client.quote import parse_ask
from node.core.errors import BadRequest

pytestmark = pytest.mark.unit
CHAT = "/v1/chat/completions"


def chat(text: bytes) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}]}'


@pytest.mark.parametrize("half", [rb"\ud800", rb"a\uDC00b", rb"\udc00\ud800", b"\xed\xa0\x80"])
def test_parse_ask__half_of_a_surrogate_pair__is_a_bad_request(half: bytes) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        parse_ask(CHAT, chat(half))


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud800", "\ud55c\uad6d".encode(), "\U0001f600".encode()])
def test_parse_ask__whole_pairs_and_backslashes__are_text(text: bytes) -> None:
    assert parse_ask(CHAT, chat(text)).model == "m"
