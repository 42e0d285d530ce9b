"""The protocol on a simulated network of 30 nodes: seeds, loss, partitions. `make gossip-sim` has the large ones."""

import pytest

from node.core.membership.tally import Event
from tests.net.gossip_sim import BACK_LIMIT, DEAD_LIMIT, events, wrong_pairs
from tests.net.gossip_world import World, WorldSettings


def settled(size: int, loss: float = 0.0, seed: int = 1) -> World:
    world = World(WorldSettings(size, loss=loss, seed=seed))
    world.start_all()
    world.run(20.0, lambda: wrong_pairs(world) == 0.0, 0.25)
    assert wrong_pairs(world) == 0.0
    return world


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_network__a_silent_node__is_out_everywhere_in_time_and_back_in_time(seed: int) -> None:
    world = settled(30, seed=seed)
    victim = world.registry[7].payee
    world.kill(victim)
    assert world.believers(victim) == 29
    assert world.run(20.0, lambda: world.believers(victim) == 0) <= DEAD_LIMIT
    world.start(victim)
    assert world.run(20.0, lambda: world.believers(victim) == 29) <= BACK_LIMIT
    assert wrong_pairs(world) == 0.0


def test_network__two_nodes__notice_each_other() -> None:
    world = settled(2)
    victim = world.registry[0].payee
    world.kill(victim)
    assert world.run(20.0, lambda: world.believers(victim) == 0) <= DEAD_LIMIT


def test_network__half_of_it_dies_at_once__the_rest_stays_together() -> None:
    world = settled(30)
    gone = [one.payee for one in world.registry[::2]]
    for payee in gone:
        world.kill(payee)
    world.run(60.0, lambda: not any(world.believers(payee) for payee in gone))
    assert not any(world.believers(payee) for payee in gone)
    world.run(10.0)
    assert wrong_pairs(world) == 0.0


def test_network__with_tenth_of_all_messages_lost__kills_nobody_for_long() -> None:
    world = settled(30, loss=0.1)
    world.run(20.0)
    assert events(world)[Event.PROBE_FAILED] > 0
    assert world.run(20.0, lambda: wrong_pairs(world) == 0.0, 0.1) < 20.0


def test_network__cut_in_two_and_joined_again__heals_by_itself() -> None:
    world = settled(12)
    left = {one.payee for one in world.registry[:6]}
    world.cut = lambda sender, receiver: (sender in left) is not (receiver in left)
    world.run(30.0)
    assert wrong_pairs(world) > 0.5
    world.cut = lambda _sender, _receiver: False
    assert world.run(60.0, lambda: wrong_pairs(world) == 0.0, 0.25) < 30.0
