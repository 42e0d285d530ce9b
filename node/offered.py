"""Puts this node's offers together for app.py: the document at start, all of the books, and a new one while it runs."""

from dataclasses import dataclass

from node.adapters.chain.evm import EvmChain
from node.adapters.chain.views import Views
from node.adapters.keys import LocalSigner
from node.adapters.ledger import Books
from node.adapters.ledger.offers import KeptOffer
from node.adapters.tokens.counter import load_artifacts, load_counter
from node.core.errors import BadConfig
from node.core.messages import Offer
from node.core.types import Address, Bytes32, Seconds
from node.deployment import Deployment
from node.offer_file import read_offer
from node.ports.basics import Clock
from node.services.offer_watch import OfferSource, OfferWatch, check_offer
from node.services.offers import OfferBook, SignedOffer
from node.services.parts import Parts
from node.settings import Settings


def first_offer(settings: Settings) -> Offer:
    """The document to start with: this payee's, its billing count the one this node was given. Raises BadConfig."""
    offer = read_offer(settings.offer)
    if "0x" + offer.payee.hex() != settings.payee.lower():
        raise BadConfig("the offer names another payee than this node", offer_payee="0x" + offer.payee.hex())
    counter = load_counter(settings.tokenizer)
    check_offer(offer, offer.payee, {(counter.tokenizer_hash, counter.template_hash): counter})
    return offer


@dataclass(frozen=True, slots=True)
class OfferDesk:
    """What signs, keeps and registers offers."""

    payee: Address
    settings: Settings
    deployment: Deployment
    operator: LocalSigner
    chain: EvmChain
    books: Books
    clock: Clock

    async def open(self, offer: Offer) -> OfferBook:
        """Every offer this payee made under these books; the one in force last, signed by the present operator key."""
        signed = self._sign(offer)
        await self._keep(signed)
        kept = await self.books.offers.load_all(offer.payee)
        earlier = [SignedOffer(one.offer, one.signature, one.operator) for one in kept if one.offer != offer]
        ends = [one.made_at for one in kept[1:]] + [Seconds(int(self.clock.now()))]
        replaced = {one.offer.struct_hash(): end for one, end in zip(kept, ends, strict=True)}
        return OfferBook([*earlier, signed], load_artifacts(self.settings.tokenizer), replaced)

    def watch(self, offers: OfferBook, parts: Parts) -> OfferWatch:
        """The document from now on."""
        source = OfferSource(lambda: read_offer(self.settings.offer), self._registered, self._sign, self._keep)
        return OfferWatch(source, offers, parts)

    def _sign(self, offer: Offer) -> SignedOffer:
        signature = self.operator.sign(self.deployment.domain.digest(offer.struct_hash()))
        return SignedOffer(offer, signature, self.operator.address)

    async def _keep(self, signed: SignedOffer) -> None:
        now = Seconds(int(self.clock.now()))
        await self.books.offers.keep(KeptOffer(signed.offer, signed.signature, signed.operator, now))

    async def _registered(self) -> Bytes32:
        views = Views(self.chain, await self.chain.fetch_head())
        return (await views.provider(self.payee)).offer_hash
