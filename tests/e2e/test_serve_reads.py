"""The free read routes: what is for sale, what was sold, by canonical ids only."""

import pytest

from node.adapters.keys import recover
from node.core.hashing import keccak
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Claim, Receipt, Terms, Voucher
from node.core.settlement import SignedClaim
from node.core.types import Address, Bytes32
from node.core.wire import hex_of, message_from_json, message_to_json, offer_from_json, signature_of
from node.services.receipts import Receipts
from tests.lab.fixtures import Lab, lab, open_lab, tokens
from tests.lab.node import DOMAIN, OPERATOR, PAYEE

__all__ = ["lab", "open_lab", "tokens"]


async def sell(lab: Lab, count: int) -> list[Receipt]:
    lab.stub.order("tokens=3")
    for number in range(count):
        assert (await lab.post(lab.body(content=f"words {number}"))).status_code == 200
    page = await lab.http.get("/v1/receipts", params={**lane_of(lab), "limit": 500})
    return [message_from_json(Receipt, row["receipt"]) for row in page.json()["receipts"]]


def lane_of(lab: Lab) -> dict[str, str]:
    return {"payer": hex_of(lab.payer.address), "lane": hex_of(lab.payer.address)}


async def test_models__list_and_one__have_prices_and_no_path(lab: Lab) -> None:
    listed = (await lab.http.get("/v1/models")).json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"], model["price"]["per_tokens"]) == ("stub", "model", 1_000_000)
    assert "root" not in model
    assert (await lab.http.get("/v1/models/stub")).json() == model
    assert (await lab.http.get("/v1/models/nope")).status_code == 404


async def test_offer__by_hash_and_current__is_signed_by_the_operator(lab: Lab) -> None:
    current = (await lab.http.get("/v1/offers/current")).json()
    offer = offer_from_json(current["offer"])
    by_hash = (await lab.http.get(f"/v1/offers/{hex_of(offer.struct_hash())}")).json()
    assert by_hash == current
    assert recover(DOMAIN.digest(offer.struct_hash()), signature_of(current["signature"])) == OPERATOR.address
    assert (await lab.http.get(f"/v1/offers/{hex_of(keccak(b'x'))}")).status_code == 404


async def test_artifacts__named_by_the_offer__hash_to_their_name(lab: Lab) -> None:
    model = (await lab.http.get("/v1/models")).json()["data"][0]
    for name in ("tokenizer", "template"):
        reply = await lab.http.get(f"/v1/artifacts/{model[name]}")
        assert hex_of(keccak(reply.content)) == model[name]
        assert "immutable" in reply.headers["cache-control"]
    assert (await lab.http.get(f"/v1/artifacts/{hex_of(keccak(b'x'))}")).status_code == 404


async def test_receipt__by_id__comes_with_terms_and_voucher(lab: Lab) -> None:
    (receipt,) = await sell(lab, 1)
    row = (await lab.http.get(f"/v1/receipts/{hex_of(receipt.request_id)}", params=lane_of(lab))).json()
    assert message_from_json(Receipt, row["receipt"]) == receipt
    assert recover(DOMAIN.digest(receipt.struct_hash()), signature_of(row["signature"])) == OPERATOR.address
    voucher, terms = message_from_json(Voucher, row["voucher"]), message_from_json(Terms, row["terms"])
    assert voucher.context == terms.struct_hash() == receipt.context
    assert recover(DOMAIN.digest(voucher.struct_hash()), signature_of(row["voucherSignature"])) == lab.payer.address


async def test_receipts__paged__come_once_each_in_order(lab: Lab) -> None:
    everything = await sell(lab, 5)
    seen, after = [], "0"
    while after is not None:
        page = (await lab.http.get("/v1/receipts", params={**lane_of(lab), "after": after, "limit": 2})).json()
        seen += [message_from_json(Receipt, row["receipt"]) for row in page["receipts"]]
        after = page["next"]
    assert seen == everything
    assert [receipt.cumulative for receipt in seen] == sorted(receipt.cumulative for receipt in seen)


async def test_lane__totals_last_receipt_and_best_voucher(lab: Lab) -> None:
    receipts = await sell(lab, 2)
    payer = hex_of(lab.payer.address)
    lane = (await lab.http.get(f"/v1/lanes/{payer}/{payer}")).json()
    assert (lane["charged"], lane["reserved"], lane["count"]) == (str(receipts[-1].cumulative), "0", 2)
    assert message_from_json(Receipt, lane["lastReceipt"]["receipt"]) == receipts[-1]
    best = message_from_json(Voucher, lane["bestVoucher"]["voucher"])
    assert str(best.ceiling) == lane["bestCeiling"] == str(lab.payer.ceiling)
    stranger = hex_of(b"\x05" * 20)
    assert (await lab.http.get(f"/v1/lanes/{stranger}/{stranger}")).status_code == 404


class OneClaim:
    """A settlement book with one claim, over the receipts sold so far."""

    def __init__(self, receipts: list[Receipt], voucher: Voucher) -> None:
        peaks = Peaks().extend(leaf_hash(receipt.struct_hash()) for receipt in receipts)
        last = receipts[-1]
        fields = (last.payer, last.payee, last.lane, last.generation, last.seq, last.cumulative)
        claim = Claim(*fields, peaks.root, peaks.count)
        self.signed = SignedClaim(
            claim, OPERATOR.sign(DOMAIN.digest(claim.struct_hash())), voucher, b"\x01" * 65, peaks
        )  # type: ignore[arg-type]

    async def load_claim_of_root(self, root: Bytes32) -> SignedClaim | None:
        return self.signed if root == self.signed.claim.receipts_root else None


async def test_settlement__pages_with_peaks__rebuild_the_claimed_root(lab: Lab) -> None:
    receipts = await sell(lab, 7)
    voucher = Voucher(Address(lab.payer.address), PAYEE, 1, receipts[-1].cumulative, Bytes32(b"\x00" * 32))
    book = OneClaim(receipts, voucher)
    service = Receipts(lab.node.ledger, book, OPERATOR, DOMAIN, lambda _: OPERATOR.address)  # type: ignore[arg-type]
    root = book.signed.claim.receipts_root
    for first in (0, 3, 4, 7):
        page = await service.of_settlement(root, first, 500)
        peaks = Peaks(first, tuple(Bytes32(bytes.fromhex(peak[2:])) for peak in page["peaks"]))
        leaves = [leaf_hash(message_from_json(Receipt, row["receipt"]).struct_hash()) for row in page["receipts"]]
        assert peaks.extend(leaves).root == root
        assert (page["count"], page["next"]) == (7, None)
        assert page["claim"] == message_to_json(book.signed.claim)
    assert (await service.of_settlement(root, 0, 3))["next"] == 3
    assert (await lab.http.get(f"/v1/settlements/{hex_of(root)}/receipts")).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/offers/0x12",
        "/v1/artifacts/12",
        "/v1/receipts/0x" + "g" * 64 + "?payer=0x" + "0" * 40 + "&lane=0x" + "0" * 40,
        "/v1/receipts/0x" + "0" * 64 + "?payer=0x" + "0" * 39 + "&lane=0x" + "0" * 40,
        "/v1/lanes/0x" + "0" * 40 + "/" + "0" * 42,
        "/v1/receipts?payer=0x" + "0" * 40 + "&lane=0x" + "0" * 40 + "&limit=0",
        "/v1/receipts?payer=0x" + "0" * 40 + "&lane=0x" + "0" * 40 + "&after=-1",
        "/v1/receipts?payer=0x" + "0" * 40,
        "/v1/settlements/0x00/receipts",
        "/v1/settlements/0x" + "0" * 64 + "/receipts?from=x",
    ],
)
async def test_ids__that_are_not_canonical__are_bad_requests_that_name_them(lab: Lab, path: str) -> None:
    reply = await lab.http.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "bad_request")
    assert reply.json()["error"]["param"]


async def test_ids__in_any_letter_case__are_one_id(lab: Lab) -> None:
    (receipt,) = await sell(lab, 1)
    upper = "0x" + receipt.request_id.hex().upper()
    params = {name: "0x" + value[2:].upper() for name, value in lane_of(lab).items()}
    assert (await lab.http.get(f"/v1/receipts/{upper}", params=params)).status_code == 200
