"""Takes a changed offer document into force while the node runs: prices, limits, models. Restarts and loses nothing.

A new offer waits until the registry names it, because clients trust no other (threat H2); vouchers over the old one
are honoured as long as it may have been quoted. A wrong document changes nothing: the fault is logged once.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.core.errors import BadConfig
from node.core.messages import Offer
from node.core.types import Address, Bytes32, Seconds
from node.services.offers import OfferBook, SignedOffer
from node.services.parts import Parts
from node.services.quoting import Counters

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OfferSource:
    """Where offers come from and go to."""

    read: Callable[[], Offer]
    """The document as it stands. Raises BadConfig."""
    registered: Callable[[], Awaitable[Bytes32]]
    """What the registry names at the head of the chain. Raises ChainUnavailable."""
    sign: Callable[[Offer], SignedOffer]
    keep: Callable[[SignedOffer], Awaitable[None]]
    """Into the books, from which a restarted node shows it. Raises LedgerUnavailable."""


class OfferWatch:
    """See module. `look` now and then."""

    def __init__(self, source: OfferSource, offers: OfferBook, parts: Parts) -> None:
        self._source = source
        self._offers = offers
        self._counters = parts.counters
        self._backends = parts.backends
        self._clock = parts.clock
        self.fault = ""
        """Why the document is not in force; "" when it is."""

    async def look(self) -> None:
        """Compare, check, wait for the registry, take."""
        try:
            offer = self._source.read()
            if offer != self._offers.current():
                check_offer(offer, self._offers.current().payee, self._counters)
                await self._take(offer)
        except BadConfig as exc:
            if exc.message != self.fault:
                log.warning("the offer document is not in force, the old offer stays: %s", exc.message)
            self.fault = exc.message
            return
        self.fault = ""

    async def _take(self, offer: Offer) -> None:
        if await self._source.registered() != offer.struct_hash():
            raise BadConfig("the registry names another offer; `register.py update-offer` registers this one")
        signed = self._source.sign(offer)
        await self._source.keep(signed)
        self._backends.serve_also([model.name for model in offer.models])
        self._offers.take(signed, Seconds(int(self._clock.now())))
        log.info("offer %d is in force: %s", offer.number, ", ".join(model.name for model in offer.models))


def check_offer(offer: Offer, payee: Address, counters: Counters) -> None:
    """It is this payee's, and its billing count is one this node has. Raises BadConfig."""
    if offer.payee != payee:
        raise BadConfig("the offer names another payee than this node", offer_payee="0x" + offer.payee.hex())
    for model in offer.models:
        if (model.tokenizer, model.template) not in counters:
            raise BadConfig(f"the offer's {model.name} names another tokenizer or template than this node was given")
