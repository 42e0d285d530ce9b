"""A provider changes prices and models while its node runs: nothing restarts, old vouchers hold, all see it at once."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from node.core.errors import BadConfig, ChainUnavailable
from node.core.messages import Offer
from node.core.types import ZERO32, Address, Amount, Bytes32
from node.services.offer_watch import OfferSource, OfferWatch
from node.services.offers import SignedOffer
from tests.lab.node import DOMAIN
from tests.net.lab import NetNode, NodePlan, running_net
from tests.net.test_offload import body, buy

PLAN = NodePlan("home")


@dataclass
class Desk:
    """The document, the registry and the books, as they stand."""

    offer: Offer | None
    registered: Bytes32 | None = ZERO32
    kept: list[SignedOffer] = field(default_factory=list)

    def read(self) -> Offer:
        if self.offer is None:
            raise BadConfig("the offer is not JSON")
        return self.offer

    async def named(self) -> Bytes32:
        if self.registered is None:
            raise ChainUnavailable("no endpoint answers")
        return self.registered

    def sign(self, offer: Offer) -> SignedOffer:
        signature = PLAN.operator.sign(DOMAIN.digest(offer.struct_hash()))
        return SignedOffer(offer, signature, PLAN.operator.address)

    async def keep(self, signed: SignedOffer) -> None:
        self.kept.append(signed)


@dataclass
class Shop:
    """One node, what it watches, and its first offer."""

    node: NetNode
    desk: Desk
    watch: OfferWatch
    old: Offer

    def write(self, *, is_registered: bool, **changes: Any) -> Offer:
        """A new document: everything twice as dear, and one model more."""
        (model,) = self.old.models
        dear = replace(
            model,
            price_prompt=Amount(2 * model.price_prompt),
            price_completion=Amount(2 * model.price_completion),
        )
        offer = replace(self.old, **{"number": 2, "models": (dear, replace(dear, name="stub-two")), **changes})
        self.desk.offer = offer
        self.desk.registered = offer.struct_hash() if is_registered else self.old.struct_hash()
        return offer

    async def price(self) -> tuple[int, int]:
        """What the node asks now for its first model."""
        (first, *_) = (await self.node.http.get("/v1/models")).json()["data"]
        return int(first["price"]["prompt"]), int(first["price"]["completion"])


@pytest_asyncio.fixture
async def shop(tokens: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    async with running_net(tokens, tmp_path, [PLAN]) as net:
        node = net.nodes["home"]
        parts = node.lab.serving._parts
        desk = Desk(node.lab.offer)
        source = OfferSource(desk.read, desk.named, desk.sign, desk.keep)
        offers: Any = parts.offers
        yield Shop(node, desk, OfferWatch(source, offers, parts), node.lab.offer)


async def test_look__registered_offer__is_in_force_at_once_and_old_vouchers_still_buy(shop: Shop) -> None:
    cheap = await buy(shop.node, body(max_tokens=8))
    new = shop.write(is_registered=True)
    await shop.watch.look()
    assert (await shop.price(), shop.watch.fault) == ((200_000, 600_000), "")
    assert [one.offer for one in shop.desk.kept] == [new]
    old = await buy(shop.node, body(max_tokens=8))
    shop.node.payer.offer = new
    dear = await buy(shop.node, body(max_tokens=8))
    charges = [int(reply.json()["usage"]["cost"]["charge"]) for reply in (cheap, old, dear)]
    assert charges[0] == charges[1]
    assert charges[2] == pytest.approx(2 * charges[0], abs=1)


async def test_look__one_model_more__the_engines_serve_it_and_the_old_one(shop: Shop) -> None:
    shop.write(is_registered=True)
    backends = shop.node.lab.serving._parts.backends
    assert set(await backends.healthy()) == {"stub"}
    await shop.watch.look()
    assert await backends.healthy() == {"stub": 1, "stub-two": 1}
    names = [model["id"] for model in (await shop.node.http.get("/v1/models")).json()["data"]]
    assert names == ["stub", "stub-two"]


async def test_look__not_registered_yet__waits_and_says_so_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    new = shop.write(is_registered=False)
    with caplog.at_level(logging.WARNING):
        await shop.watch.look()
        await shop.watch.look()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "update-offer" in shop.watch.fault
    assert (await shop.price(), shop.desk.kept) == ((100_000, 300_000), [])
    shop.desk.registered = new.struct_hash()
    await shop.watch.look()
    assert (await shop.price(), shop.watch.fault) == ((200_000, 600_000), "")


@pytest.mark.parametrize("wrong", ["json", "payee", "tokenizer"])
async def test_look__wrong_document__changes_nothing_and_names_the_fault(shop: Shop, wrong: str) -> None:
    strange = replace(shop.old.models[0], tokenizer=Bytes32(b"\x07" * 32))
    changes = {"json": {}, "payee": {"payee": Address(b"\x08" * 20)}, "tokenizer": {"models": (strange,)}}[wrong]
    shop.write(is_registered=True, **changes)
    if wrong == "json":
        shop.desk.offer = None
    await shop.watch.look()
    assert wrong in shop.watch.fault.lower()
    assert (await shop.price(), shop.desk.kept) == ((100_000, 300_000), [])


async def test_look__chain_does_not_answer__raises_for_the_job_and_changes_nothing(shop: Shop) -> None:
    shop.write(is_registered=True)
    shop.desk.registered = None
    with pytest.raises(ChainUnavailable):
        await shop.watch.look()
    assert await shop.price() == (100_000, 300_000)
