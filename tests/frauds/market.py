"""The honest market every seeded history starts from, and the steps frauds are made of."""

from tests.frauds.model import hexed
from tests.frauds.world import World, address_of_key

STORIES = {}
"""name -> (function, codes, story, whom it hurts)."""
DAY = 86_400


def story(name: str, codes: str, text: str):
    """Registers a history under a folder name, with the codes the auditor must find: all of them and no other."""

    def register(build):
        STORIES[name] = (build, sorted(codes.split()), text)
        return build

    return register


def payee(name: str) -> str:
    return hexed(address_of_key(name))


def market() -> World:
    """Two providers, two clients, a further signer; nothing served yet."""
    world = World()
    world.add_payee("north")
    world.add_payee("south", (100_000, 900_000))
    world.add_payer("alice", {"north": 100_000, "south": 5_000})
    world.add_payer("bob", {"north": 100_000})
    world.add_signer("alice", "laptop", 50_000)
    return world


def busy(requests: int = 3) -> World:
    """The market after some honest requests of alice's to north, unsettled."""
    world = market()
    for _ in range(requests):
        world.serve("alice", "north")
        world.chain.mine()
    return world


def settled(requests: int = 3) -> World:
    """`busy`, and settled."""
    world = busy(requests)
    world.settle("alice", "north")
    return world


def end(world: World, **serve: object) -> World:
    """One more request, bent by `serve`, then a settlement."""
    world.serve("alice", "north", **serve)
    world.settle("alice", "north")
    return world


def edited(world: World, key: str, value: list) -> dict:
    """The history with one view's result changed."""
    history = world.history()
    assert key in history["views"], key
    history["views"][key] = value
    return history


def event_of(history: dict, name: str) -> dict:
    """The last event of that name."""
    return [event for event in history["events"] if event["name"] == name][-1]
