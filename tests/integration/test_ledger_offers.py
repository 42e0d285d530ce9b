"""Offers are kept for good, each once, in the order they were made."""

from dataclasses import replace

from node.adapters.ledger import KeptOffer, migrate
from node.core.types import Address, Amount, Seconds
from tests.factories import NOW, PAYEE, PAYER, make_model, make_offer
from tests.ledgers import SIGNATURE, opened_books

OPERATOR = Address(b"\x0f" * 20)


async def test_keep__two_offers_one_of_them_twice__are_loaded_oldest_first(ledger_url: str) -> None:
    first = KeptOffer(make_offer(), SIGNATURE, OPERATOR, NOW)
    dear = make_model(price_prompt=Amount(2**127), name="other-model")
    second = KeptOffer(make_offer(number=2, models=(dear,)), SIGNATURE, OPERATOR, Seconds(NOW + 9))
    migrate(ledger_url)
    async with opened_books(ledger_url) as books:
        assert await books.offers.load_all(PAYEE) == []
        for kept in (second, first, replace(first, made_at=Seconds(NOW + 99))):
            await books.offers.keep(kept)
        assert await books.offers.load_all(PAYEE) == [first, second]
        assert await books.offers.load_all(PAYER) == []
