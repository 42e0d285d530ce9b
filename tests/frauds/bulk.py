"""A long honest history by dice: several payers, lanes, providers and endings, settled now and then."""

import random

from tests.frauds.model import hexed
from tests.frauds.world import World, address_of_key

PAYEES = ("north", "south")
ENDINGS = (1, 1, 1, 1, 1, 1, 2, 3, 4)


def honest_market(requests: int, lanes: int, seed: int, settle_every: int = 200) -> World:
    """Every request is charged right and every lane is settled at the end."""
    dice, world = random.Random(seed), World()
    for payee in PAYEES:
        world.add_payee(payee, (dice.randrange(1, 10**6), dice.randrange(1, 10**6)))
    parties = [(f"payer {place}", PAYEES[place % len(PAYEES)]) for place in range(lanes)]
    for payer, payee in parties:
        world.add_payer(payer, {payee: 10**9})
    world.chain.mine()
    for number in range(requests):
        payer, payee = parties[number % lanes]
        _serve(world, payer, payee, dice)
        if dice.randrange(settle_every) == 0:
            world.chain.mine(dice.randrange(600))
            _settle(world, payer, payee)
        if dice.randrange(requests) == 0:
            _bump(world, payee, parties)
    for payer, payee in parties:
        _settle(world, payer, payee)
    return world


def _serve(world: World, payer: str, payee: str, dice: random.Random) -> None:
    status = dice.choice(ENDINGS)
    tokens = (0, 0) if status == 3 else (dice.randrange(1, 3_000), dice.randrange(1, 800))
    world.serve(payer, payee, tokens, status=status)


def _settle(world: World, payer: str, payee: str) -> None:
    books = world.lane(payer, payee)
    key = tuple(hexed(address_of_key(name)) for name in (payer, payee, payer))
    if books.entries and books.charged > world.chain.lanes.get(key, [0])[0]:
        world.settle(payer, payee)


def _bump(world: World, payee: str, parties: list[tuple[str, str]]) -> None:
    """A new generation of a payee: every lane of it goes on from what was owed."""
    mine = [payer for payer, each in parties if each == payee]
    owed = {payer: world.lane(payer, payee).charged for payer in mine}
    for payer in mine:
        _settle(world, payer, payee)
    world.chain.bump(hexed(address_of_key(payee)))
    for payer in mine:
        books = world.lane(payer, payee)
        books.charged = books.ceiling = owed[payer]
