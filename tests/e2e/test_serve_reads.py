"""The free read routes: what is for sale, what was sold, by canonical ids only."""

from typing import Any

import pytest

from node.adapters.keys import recover
from node.core.errors import Gone, NotFound, TooLarge
from node.core.hashing import keccak
from node.core.merkle import Peaks, is_included, leaf_hash
from node.core.messages import Claim, Receipt, Terms, Voucher
from node.core.settlement import SignedClaim
from node.core.types import Address, Bytes32, LaneKey
from node.core.wire import hex_of, message_from_json, message_to_json, offer_from_json, signature_of
from node.ports.ledger import Stored
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

    async def load_peaks(self, _key: object, most: int) -> Peaks:
        return self.signed.peaks if self.signed.peaks.count <= most else Peaks()


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


class Counting:
    """A ledger that says how many receipts were read, and has lost those from `pruned` on."""

    def __init__(self, inner: Any, pruned: int = 10**9) -> None:
        self._inner, self._pruned = inner, pruned
        self.read = 0

    async def load_receipts_from(self, key: LaneKey, index: int, limit: int) -> list[Stored]:
        found = list(await self._inner.load_receipts_from(key, index, limit))[: max(self._pruned - index, 0)]
        self.read += len(found)
        return found


async def sold_service(lab: Lab, count: int, pruned: int = 10**9) -> tuple[Receipts, Bytes32, Counting]:
    receipts = await sell(lab, count)
    voucher = Voucher(Address(lab.payer.address), PAYEE, 1, receipts[-1].cumulative, Bytes32(b"\x00" * 32))
    book, ledger = OneClaim(receipts, voucher), Counting(lab.node.ledger, pruned)
    service = Receipts(ledger, book, OPERATOR, DOMAIN, lambda _: OPERATOR.address)  # type: ignore[arg-type]
    return service, book.signed.claim.receipts_root, ledger


async def test_settlement__read_page_by_page__reads_each_receipt_once(lab: Lab) -> None:
    service, root, ledger = await sold_service(lab, 8)
    following, pages = 0, 0
    while following is not None:
        following = (await service.of_settlement(root, following, 2))["next"]
        pages += 1
    assert (pages, ledger.read) == (4, 8)


async def test_settlement__many_trees_remembered__forgets_the_oldest(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr("node.services.receipts.PEAKS_KEPT", 2)
    service, root, _ = await sold_service(lab, 6)
    for first in range(5):
        await service.of_settlement(root, first, 1)
    assert len(service._trees) == 2


async def test_settlement__receipts_no_longer_kept__are_gone(lab: Lab) -> None:
    service, root, _ = await sold_service(lab, 6, pruned=4)
    for first in (3, 5):
        with pytest.raises(Gone):
            await service.of_settlement(root, first, 500)
    with pytest.raises(Gone):
        await service.proof(root, 0)


async def test_proof__every_receipt_of_a_settlement__is_shown_to_be_under_the_root(lab: Lab, monkeypatch) -> None:
    service, root, _ = await sold_service(lab, 7)
    for index in range(7):
        said = await service.proof(root, index)
        leaf = leaf_hash(message_from_json(Receipt, said["receipt"]).struct_hash())
        path = [Bytes32(bytes.fromhex(sibling[2:])) for sibling in said["proof"]]
        assert is_included(leaf, index, said["count"], path, root)
        assert not is_included(leaf, (index + 1) % 7, said["count"], path, root)
    with pytest.raises(NotFound):
        await service.proof(root, 7)
    monkeypatch.setattr("node.services.receipts.PROVED_LEAVES", 6)
    with pytest.raises(TooLarge):
        await service.proof(root, 0)
    assert (await lab.http.get(f"/v1/settlements/{hex_of(root)}/proof", params={"index": 0})).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v1/settlements/0x" + "0" * 64 + "/proof",
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
