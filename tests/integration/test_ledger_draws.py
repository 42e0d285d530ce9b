"""Draws in the books: kept as they were signed, shown by request, purged by age and no earlier."""

import json

from node.adapters.ledger.schema import migrate
from node.core.hashing import keccak, word
from node.core.types import Bytes32, Micros, Signature
from node.ports.routing import KeptDraw
from tests.ledgers import opened_books


def made(at: int) -> KeptDraw:
    return KeptDraw(json.dumps({"madeAt": str(at)}), Signature(b"\x01" * 65), Micros(at))


def request(number: int) -> Bytes32:
    return Bytes32(keccak(word(number)))


async def test_purge__old_draws__go_the_oldest_first_and_in_bites(ledger_url: str) -> None:
    migrate(ledger_url)
    async with opened_books(ledger_url) as books:
        draws = books.draws
        for number in range(5):
            await draws.keep(request(number), 1, made(1_000 + number))
        await draws.keep(request(0), 2, made(2_000))
        assert await draws.load(request(0)) == [made(1_000), made(2_000)]
        assert await draws.purge(Micros(1_003), 2) == 2
        assert [len(await draws.load(request(number))) for number in range(5)] == [1, 0, 1, 1, 1]
        assert await draws.purge(Micros(1_003), 2) == 1
        assert await draws.purge(Micros(1_003), 2) == 0
        assert [len(await draws.load(request(number))) for number in range(5)] == [1, 0, 0, 1, 1]
