"""Closing what crashed workers left open."""

from types import SimpleNamespace

import pytest

from node.core.account import Admission
from node.core.errors import Broken
from node.core.messages import Receipt
from node.core.types import Signature
from node.services.closing import Closer
from tests.factories import make_admission, make_receipt

pytestmark = pytest.mark.unit


class Books:
    """Two abandoned requests, the first in a lane that does not add up."""

    def __init__(self) -> None:
        self.abandoned = [make_admission(request_id=bytes([n]) * 32) for n in (1, 2)]
        self.signed: list[Receipt] = []

    async def load_abandoned(self) -> list[Admission]:
        return self.abandoned

    async def close(self, admission: Admission, *_: object) -> Receipt:
        if admission == self.abandoned[0]:
            raise Broken("the lane holds less than this reservation")
        return make_receipt()

    async def keep_signature(self, receipt: Receipt, _signature: Signature) -> None:
        self.signed.append(receipt)


async def test_close_abandoned__one_lane_is_broken__the_others_are_closed() -> None:
    books = Books()
    domain = SimpleNamespace(digest=lambda struct_hash: struct_hash)
    parts = SimpleNamespace(
        ledger=books,
        market=SimpleNamespace(domain=domain),
        signer=SimpleNamespace(sign=lambda _: Signature(b"\x01" * 65)),
        clock=SimpleNamespace(now=lambda: 1_000.0),
    )
    await Closer(parts).close_abandoned()  # type: ignore[arg-type]
    assert books.signed == [make_receipt()]
