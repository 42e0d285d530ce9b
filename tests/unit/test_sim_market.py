"""Whole simulated markets, small: nothing is lost, the better policy is better, the dead are survived."""

from dataclasses import replace
from functools import partial

import pytest

from node.core.routing.config import PAPER
from node.sim.experiments.admission import overloaded
from node.sim.network import Network, NetworkSpec, Partition
from node.sim.profiles import build_profile, scale_profile
from node.sim.run import OWN_USERS_LAST, SYSTEMS, run
from node.sim.scenario import NodeSpec, Scenario, paper_scenario
from node.sim.workload import Lengths, Phase, poisson_arrivals, stream

pytestmark = pytest.mark.unit

SHORT = Lengths(20, 200, 300, 0.6, cap=1_024)
ENGINE = build_profile("RTX 3090", "Qwen3-8B")
ADAPTIVE = replace(OWN_USERS_LAST, policy="adaptive")


def make_scenario(specs=None, schedule=None, **changes):
    specs = specs or (NodeSpec(ENGINE),) * 3
    schedule = schedule or ([Phase(60, 1.5)], [Phase(60, 0.1)], [Phase(60, 0.1)])
    return Scenario(
        "small", tuple(specs), partial(poisson_arrivals, schedule, SHORT), thresholds=(10.0, 20.0), **changes
    )


@pytest.mark.parametrize("system", [*SYSTEMS, "central-social"])
def test_run__every_system__answers_every_request(system):
    done = run(make_scenario(), system, 1)
    assert done.summary.answered == done.summary.requests > 60
    assert all(node.engine.in_flight == 0 for node in done.world.nodes)
    assert all(first <= whole for first, whole in zip(done.recorder.first, done.recorder.latency, strict=True))


def test_run__same_seed__same_figures_and_another_seed_others():
    assert run(make_scenario(), "adaptive", 1).summary == run(make_scenario(), "adaptive", 1).summary
    assert run(make_scenario(), "adaptive", 1).summary != run(make_scenario(), "adaptive", 2).summary


def test_run__systems__see_the_same_requests():
    worlds = [run(make_scenario(), system, 3) for system in ("single", "adaptive")]
    assert sorted(worlds[0].recorder.arrivals) == sorted(worlds[1].recorder.arrivals)


def test_adaptive__one_node_overrun__beats_single_and_comes_near_the_oracle():
    rush = ([Phase(40, 5.0)], [Phase(40, 0.1)], [Phase(40, 0.1)])
    means = {
        system: sum(run(make_scenario(schedule=rush), system, seed).summary.mean for seed in (1, 2)) / 2
        for system in ("single", "central-oracle", "adaptive")
    }
    assert means["adaptive"] < 0.9 * means["single"]
    assert means["adaptive"] < 1.05 * means["central-oracle"]


def test_paper_scenario__s1__orders_the_systems_as_published():
    means = {system: run(paper_scenario("S1"), system, 1).summary.mean for system in ("single", "paper", "adaptive")}
    assert means["adaptive"] < means["paper"] < means["single"]


def test_adaptive__slow_liar__gets_little_in_the_end():
    liar = NodeSpec(scale_profile(ENGINE, 4.0), claims_faster=8.0)
    scenario = make_scenario((NodeSpec(ENGINE), NodeSpec(ENGINE), liar), ([Phase(150, 2.0)], [], []))
    done = run(scenario, "adaptive", 1)
    late = [node for at, node in zip(done.recorder.arrivals, done.recorder.node, strict=True) if at > 75]
    assert late.count(2) / len(late) < 0.15
    assert done.world.nodes[0].record(done.world.nodes[2]).correction() > 2.0


def test_adaptive__node_dies__its_guests_begin_again_within_two_seconds():
    dying = NodeSpec(ENGINE, dies_at=30.0)
    scenario = make_scenario((NodeSpec(ENGINE), dying, NodeSpec(ENGINE)), ([Phase(60, 1.5)], [], []))
    done = run(scenario, "adaptive", 1)
    assert len(done.recorder.failovers) > 0
    assert max(done.recorder.failovers) <= 2.0
    assert done.summary.answered == done.summary.requests


def test_paper__node_dies__guests_wait_for_the_gossip():
    dying = NodeSpec(ENGINE, dies_at=30.0)
    scenario = make_scenario((NodeSpec(ENGINE), dying, NodeSpec(ENGINE)), ([Phase(60, 1.5)], [], []))
    done = run(scenario, "paper", 1, replace(PAPER, target_usage=0.05))
    assert len(done.recorder.failovers) > 0
    assert min(done.recorder.failovers) >= 12.0
    assert max(done.recorder.failovers) <= 25.0


def test_central__node_dies__places_its_work_again():
    scenario = make_scenario((NodeSpec(ENGINE), NodeSpec(ENGINE, dies_at=10.0), NodeSpec(ENGINE)))
    done = run(scenario, "central-oracle", 1)
    assert done.summary.answered == done.summary.requests
    assert set(done.recorder.failovers) == {0.0}


@pytest.mark.parametrize("system", ["adaptive", "paper"])
def test_market__node_joins_late__gets_work_after_and_none_before(system):
    scenario = make_scenario((NodeSpec(ENGINE), NodeSpec(ENGINE, joins_at=30.0)), ([Phase(90, 2.0)], []))
    done = run(scenario, system, 1, replace(PAPER, target_usage=0.05) if system == "paper" else None)
    served = [
        at + latency
        for at, latency, node in zip(done.recorder.arrivals, done.recorder.latency, done.recorder.node, strict=True)
        if node == 1
    ]
    assert served
    assert min(served) > 30.0
    assert done.summary.answered == done.summary.requests


def test_adaptive__lossy_network__still_answers_all():
    done = run(make_scenario(network=NetworkSpec(loss=0.3)), "adaptive", 1)
    assert done.summary.answered == done.summary.requests


def test_adaptive__deadline_under_overload__refusing_some_serves_more_in_time():
    nodes = paper_scenario("S2").nodes
    free = run(Scenario("o", nodes, overloaded, thresholds=(250.0,)), "adaptive", 1)
    strict = run(Scenario("o", nodes, overloaded, thresholds=(250.0,), deadline=250.0), "adaptive", 1)
    assert len(strict.recorder.refusals) > 0
    assert strict.summary.answered + len(strict.recorder.refusals) == strict.summary.requests
    assert strict.summary.slo["250"] > free.summary.slo["250"]


def test_adaptive__nothing_learned_yet__refuses_nobody_on_a_prior():
    done = run(make_scenario(schedule=([Phase(4, 8.0)], [], []), deadline=0.5), "adaptive", 1)
    assert len(done.recorder.refusals) == 0


def test_market__draining_node__serves_its_own_and_no_guests():
    draining = NodeSpec(ENGINE, config=replace(ADAPTIVE, draining=True))
    done = run(make_scenario((NodeSpec(ENGINE), draining, NodeSpec(ENGINE))), "adaptive", 1)
    guests = [
        source for source, node in zip(done.recorder.source, done.recorder.node, strict=True) if node == 1 != source
    ]
    assert guests == []


def test_messages__adaptive__stay_few_per_request():
    assert 0 < run(make_scenario(), "adaptive", 1).summary.messages_per_request < 20


def test_network__places__give_symmetric_delays_and_self_is_free():
    network = Network(NetworkSpec(0.01, 0.1), 3, stream(1, "n"))
    assert network.seconds(0, 1) == network.seconds(1, 0) > 0.01
    assert network.seconds(1, 1) == 0.0


def test_network__matrix__is_the_delay_between_regions_either_way():
    network = Network(NetworkSpec(matrix=((0.001, 0.2), (0.3, 0.002))), 4, stream(1, "n"))
    assert (network.seconds(0, 1), network.seconds(1, 0)) == (0.2, 0.3)
    assert (network.seconds(0, 2), network.seconds(3, 1), network.seconds(2, 2)) == (0.001, 0.002, 0.0)


def test_adaptive__seats__fewer_questions_than_always_three_peers():
    seats, distinct = (
        run(make_scenario(), "adaptive", 1, replace(ADAPTIVE, distinct_candidates=always)).summary.messages_per_request
        for always in (False, True)
    )
    assert seats < distinct


def test_network__partition_and_loss__stop_messages_and_all_are_counted():
    cut = Network(NetworkSpec(partitions=(Partition(5.0, 9.0, frozenset({0})),)), 2, stream(1, "n"))
    assert [cut.delivers(0, 1, now) for now in (4.0, 5.0, 8.9, 9.0)] == [True, False, False, True]
    lossy = Network(NetworkSpec(loss=0.5), 2, stream(1, "n"))
    arrived = sum(lossy.delivers(0, 1, 0.0) for _ in range(1_000))
    assert 400 < arrived < 600
    assert lossy.messages == 1_000
