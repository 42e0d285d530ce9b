"""The operator key was changed: what the former key should have signed is refused clearly, never signed by the new."""

import time
from typing import Any

from httpx import Response

from node.core.types import Address
from node.core.wire import hex_of
from tests.lab.fixtures import Lab, LabMaker, open_lab, tokens

__all__ = ["open_lab", "tokens"]
STRANGER = Address(b"\x99" * 20)


class Forgetful:
    """Books that lose every signature, as a crash between a receipt and its signature does."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def keep_signature(self, *_: object) -> None:
        """Lost."""


async def rotated(open_lab: LabMaker, sold: int) -> Lab:
    """A node that sold something, lost the signatures, and whose key is not the operator key of that generation."""
    lab = await open_lab(wrap_ledger=Forgetful)
    for number in range(sold):
        assert (await lab.post(lab.body(content=f"words {number}"))).status_code == 200
    lab.node.book.operators = dict.fromkeys(lab.node.book.operators, STRANGER)
    await lab.node.serving._parts.chain.refresh()
    return lab


def is_clear(reply: Response) -> bool:
    body = reply.json()
    return (reply.status_code, body["error"]["code"], body["operator"]) == (503, "key_not_here", hex_of(STRANGER))


async def test_receipts__signature_lost_and_the_key_is_another__are_refused_clearly(open_lab: LabMaker) -> None:
    lab = await rotated(open_lab, 1)
    lane = {"payer": hex_of(lab.payer.address), "lane": hex_of(lab.payer.address)}
    assert is_clear(await lab.http.get("/v1/receipts", params=lane))
    assert is_clear(await lab.http.get(f"/v1/lanes/{lane['payer']}/{lane['lane']}"))


async def test_receipts__signature_lost_and_the_key_is_ours__are_signed_again(open_lab: LabMaker) -> None:
    lab = await open_lab(wrap_ledger=Forgetful)
    assert (await lab.post(lab.body())).status_code == 200
    lane = {"payer": hex_of(lab.payer.address), "lane": hex_of(lab.payer.address)}
    assert len((await lab.http.get("/v1/receipts", params=lane)).json()["receipts"]) == 1


async def test_paid_request__node_holds_another_key_than_the_escrow_names__nothing_is_sold(open_lab: LabMaker) -> None:
    lab = await rotated(open_lab, 0)
    assert is_clear(await lab.post(lab.body()))
    assert not lab.stub.received
    assert await lab.lane() is None


async def test_demand__last_receipt_cannot_be_signed_here__shows_none(open_lab: LabMaker) -> None:
    lab = await rotated(open_lab, 1)
    body = lab.body()
    stale = lab.payer.pay(body, int(time.time()) - 3_600)
    reply = await lab.post(body, stale)
    assert reply.status_code == 402
    assert reply.json()["accepts"][0]["extra"]["lastReceipt"] is None
