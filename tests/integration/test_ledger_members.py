"""The list of members as the books give it: listed providers with the operator key of their newest generation."""

from dataclasses import replace

from node.adapters.ledger import Books
from node.core.membership.members import Registered
from node.core.types import Address, Amount, Bytes32
from tests.factories import PAYEE
from tests.integration.test_ledger_chain_book import OPERATOR, batch, books, event, operator_set  # noqa: F401 - fixture

OTHER = Address(b"\xdd" * 20)
MADE = {"endpoint": "https://peer.example", "offerHash": b"\x01" * 32, "stake": 2**100}
NEW_KEY = Address(b"\x0e" * 20)


async def test_registered__with_the_newest_operator_key_and_only_when_listed(books: Books) -> None:  # noqa: F811
    known = (
        operator_set(1, 1),
        event(1, 2, "Registered", provider=PAYEE, **MADE),
        event(1, 3, "Registered", provider=OTHER, **MADE),  # has set no operator key: nobody could check its word
    )
    await books.chain.book(batch(1, 2, *known, finalised=2))
    expected = Registered(PAYEE, OPERATOR, "https://peer.example", Amount(2**100), Bytes32(b"\x01" * 32))
    assert await books.chain.load_registered() == [expected]
    changed = event(3, 0, "OperatorSet", payee=PAYEE, operator=NEW_KEY, generation=2)
    await books.chain.book(batch(3, 3, changed, finalised=2))
    assert await books.chain.load_registered() == [replace(expected, operator=NEW_KEY)]
    gone = event(4, 0, "Deregistered", provider=PAYEE, unbonding=2**100, unbondEnd=77)
    await books.chain.book(batch(4, 5, gone, finalised=5))
    assert await books.chain.load_registered() == []
