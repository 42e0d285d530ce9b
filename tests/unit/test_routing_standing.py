"""When a standing bid answers for a request: fresh, of now, with room for it, for a prompt of about its size."""

from dataclasses import replace

import pytest

from node.core.bids import Bid, ModelBid, SignedBid
from node.core.hashing import keccak
from node.core.routing.standing import HEARD_SECONDS, ISSUED_SECONDS, LONGEST_PROMPT, Hearing, row_for
from node.core.types import ZERO32, Address, Amount, Micros, Signature
from tests.unit.routing_makers import make_request

pytestmark = pytest.mark.unit

NOW = 1_800_000_000.0
MODEL = keccak(b"m")
ROW = ModelBid(MODEL, Amount(1), Amount(2), 30, 4_000, 0, 1, 2, 8_000)
BID = SignedBid(Bid(Address(b"\x02" * 20), ZERO32, 1, Micros(int(NOW * 1e6)), (ROW,)), Signature(b"\x01" * 65))
HEARING = Hearing(age_seconds=1.0, now=NOW + 1, sent_since=0)
REQUEST = make_request(prompt_tokens=100, max_tokens=500)


def test_row_for__fresh_with_room__answers() -> None:
    assert row_for(BID, MODEL, REQUEST, HEARING) == ROW
    assert row_for(BID, MODEL, REQUEST, replace(HEARING, sent_since=1)) == ROW


@pytest.mark.parametrize(
    ("request_", "hearing"),
    [
        (REQUEST, replace(HEARING, age_seconds=HEARD_SECONDS + 0.1)),
        (REQUEST, replace(HEARING, now=NOW + ISSUED_SECONDS + 0.1)),
        (REQUEST, replace(HEARING, now=NOW - ISSUED_SECONDS - 0.1)),
        (REQUEST, replace(HEARING, sent_since=2)),
        (make_request(prompt_tokens=LONGEST_PROMPT + 1), HEARING),
        (make_request(prompt_tokens=100, max_tokens=7_901), HEARING),
    ],
    ids=["heard long ago", "issued long ago", "from the future", "its slots are taken", "long prompt", "no kv room"],
)
def test_row_for__stale_full_or_of_another_size__must_be_asked(request_, hearing) -> None:
    assert row_for(BID, MODEL, request_, hearing) is None


def test_row_for__another_model__must_be_asked() -> None:
    assert row_for(BID, keccak(b"other"), REQUEST, HEARING) is None
