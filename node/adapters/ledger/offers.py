"""Every offer this payee ever made, so that a receipt's quoted price can be shown for as long as the receipt."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from node.adapters.ledger.store import Store
from node.adapters.ledger.tables import offer as offers
from node.adapters.ledger.upsert import add_missing
from node.core.messages import Offer
from node.core.types import Address, Seconds, Signature
from node.core.wire import offer_from_json, offer_to_json


@dataclass(frozen=True, slots=True)
class KeptOffer:
    """An offer with the operator's signature over it, and when it was first in force here."""

    offer: Offer
    signature: Signature
    operator: Address
    made_at: Seconds


class SqlOffers:
    """Keeps offers; forgets none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def keep(self, kept: KeptOffer) -> None:
        """Keep an offer; one that is there already stays as it was."""
        await self._store.write_with(keep_offer, kept)

    async def load_all(self, payee: Address) -> Sequence[KeptOffer]:
        """A payee's offers, oldest first."""
        return await self._store.read_with(load_offers, payee)


def keep_offer(connection: Connection, kept: KeptOffer) -> None:
    """See SqlOffers.keep."""
    row = {
        "hash": kept.offer.struct_hash(),
        "payee": kept.offer.payee,
        "number": kept.offer.number,
        "document": json.dumps(offer_to_json(kept.offer), sort_keys=True),
        "signature": kept.signature,
        "operator": kept.operator,
        "made_at": kept.made_at,
    }
    add_missing(connection, offers, [row])


def load_offers(connection: Connection, payee: Address) -> list[KeptOffer]:
    """See SqlOffers.load_all."""
    wanted = select(offers).where(offers.c.payee == payee).order_by(offers.c.made_at, offers.c.number)
    return [
        KeptOffer(
            offer_from_json(json.loads(row.document)),
            Signature(row.signature),
            Address(row.operator),
            Seconds(row.made_at),
        )
        for row in connection.execute(wanted)
    ]
