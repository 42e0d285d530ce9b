"""Hedging, duels as load, clock skew, attacks and appeals, incentive markets: small runs with known answers."""

from dataclasses import astuple, replace
from functools import partial

import pytest

from node.core.duels import DuelTerms
from node.sim.backends import Workers
from node.sim.experiments.base import Figure, Options, Section, Table
from node.sim.experiments.coalitions import APPEAL_RATES, SHARES, SHIPPED, attack, break_even, sensitivity
from node.sim.experiments.duel_work import duelled_run, judged_duels
from node.sim.experiments.incentives import Market, play_market
from node.sim.experiments.liars import liar_scenario, play_rider
from node.sim.figures import Labels, draw_lines, panels, save
from node.sim.network import NetworkSpec
from node.sim.profiles import build_profile
from node.sim.report import write_report
from node.sim.run import run
from node.sim.scenario import DuelLoad, NodeSpec, Scenario, paper_scenario
from node.sim.workload import SHAREGPT, Phase, poisson_arrivals

pytestmark = pytest.mark.unit

ENGINE = build_profile("RTX 4090", "Llama-3.1-8B")


def busy(nodes=4, **changes):
    schedule = [[Phase(20.0, 6.0)], *([] for _ in range(nodes - 1))]
    arrivals = partial(poisson_arrivals, schedule, SHAREGPT)
    return Scenario("busy", tuple(NodeSpec(ENGINE) for _ in range(nodes)), arrivals, thresholds=(10.0,), **changes)


def test_hedging__promise_never_late__makes_no_copy():
    plain, hedged = (run(busy(hedge_after=after), "adaptive", 1) for after in (None, 1_000.0))
    assert hedged.hedges == 0
    assert hedged.summary == plain.summary


def test_hedging__slow_liar__every_request_is_answered_exactly_once():
    scenario = liar_scenario(200.0, slow=30.0)
    short = replace(scenario, arrivals=partial(_first_seconds, scenario.arrivals), hedge_after=1.0)
    done = run(short, "adaptive", 1)
    assert done.hedges > 0
    assert done.summary.answered == done.summary.requests


def _first_seconds(arrivals, seed):
    return [arrival for arrival in arrivals(seed) if arrival.at < 15.0]


def test_hedging__nodes_die_meanwhile__no_request_is_answered_twice():
    scenario = busy(hedge_after=1.0)
    nodes = (*scenario.nodes[:2], *(replace(spec, dies_at=8.0) for spec in scenario.nodes[2:]))
    summary = run(replace(scenario, nodes=nodes), "adaptive", 2).summary
    assert summary.answered == summary.requests


def test_duel_load__more_work_for_the_engines_and_the_same_answers_for_users():
    plain, duelled = (run(busy(duels=load), "adaptive", 1) for load in (None, DuelLoad(0.5)))
    assert duelled.summary.answered == plain.summary.answered == plain.summary.requests
    tokens = [sum(node.engine.tokens_made for node in done.world.nodes) for done in (plain, duelled)]
    assert tokens[1] > 1.1 * tokens[0]


def test_duelled_run__none__is_the_scenario_without_duels():
    assert duelled_run(("S1 as published", 0.0, 5, 1))["mean"] == run(paper_scenario("S1"), "adaptive", 1).summary.mean


def test_judged_duels__better_judges__are_right_more_often_and_stricter_juries_less_often_wrong():
    poor, good = (judged_duels((5, 4, accuracy, 2_000)) for accuracy in (0.6, 0.9))
    assert good["right"] > poor["right"]
    assert judged_duels((5, 4, 0.7, 2_000))["wrong"] < judged_duels((3, 2, 0.7, 2_000))["wrong"]


def test_clock_skew__without_a_deadline__changes_nothing():
    plain, skewed = (run(busy(network=NetworkSpec(clock_skew_seconds=skew)), "adaptive", 1) for skew in (0.0, 60.0))
    assert plain.summary == skewed.summary


def test_clock_skew__larger_than_the_deadline__makes_peers_refuse_or_serve_late():
    plain, skewed = (
        run(busy(network=NetworkSpec(clock_skew_seconds=skew), deadline=6.0), "adaptive", 1) for skew in (0.0, 600.0)
    )
    assert skewed.summary != plain.summary


def test_free_rider__accepts_nobody__serves_nobody():
    rider = play_rider(("adaptive", 0.0, 1))
    assert rider["served"] == 0
    assert rider["sent"] > 0


@pytest.mark.parametrize("system", ["paper", "adaptive"])
def test_market__faster_provider__serves_more(system):
    slow = build_profile("RTX 3090", "Qwen3-8B")
    fast = build_profile("A100", "Qwen3-8B")
    kinds = (("slow", NodeSpec(slow)), ("fast", NodeSpec(fast)))
    found = play_market(Market("hardware", kinds, system, 1, 2.0, 60.0))
    assert found["served"]["fast"] > found["served"]["slow"]
    assert found["earned"]["fast"][-1] == found["served"]["fast"]


def test_attacks__every_shipped_setting_and_share__loses():
    for terms in SHIPPED.values():
        for share in SHARES:
            assert max(astuple(attack(terms, share))) < 0


def test_appeals__none__make_a_decided_verdict_pay_and_the_break_even_lies_between():
    rate = break_even(DuelTerms(), 0.3)
    assert 0.0 < rate < 0.9
    line = sensitivity()["30%"]
    assert line[0] > 0 > line[-1]
    assert line == sorted(line, reverse=True)
    assert len(line) == len(APPEAL_RATES)


def test_report__an_experiment_run_alone__keeps_the_others_and_shows_pictures_inside(tmp_path):
    canvas, axes = panels(1, 1)
    draw_lines(axes[0], {"x": ([0, 1], [0, 1])}, Labels("t", "x", "y"))
    save(canvas, tmp_path / "figures" / "f.png")
    tables = (Table(("a", "b"), (("1", "2"),)), Table(("long", "b"), (("3", "4"),)))
    first = Section(
        "first", "First", "one", "Text with `code`.", tables, (Figure("f.png", "A line"),), {"n": 0.123456789}
    )
    write_report([first], "Preface with a [link](to.md).", tmp_path, ["first", "second"])
    told = Section("second", "Second", "two", "**More** and *less*.", seeds=3, made="full length, commit `abc`")
    write_report([told], "Preface with a [link](to.md).", tmp_path, ["first", "second"])
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "README.md").read_text()
    assert text.index("## First") < text.index("## Second")
    assert page.index("<th>a</th>") < page.index("data:image/png;base64,") < page.index("<th>long</th>")
    assert text.index("| a |") < text.index("![A line]") < text.index("| long |")
    assert "<code>code</code>" in page
    assert "<b>More</b> and <em>less</em>" in page
    assert "<a href='to.md'>link</a>" in page
    assert "*Made with* seeds 1-3; full length, commit `abc`." in text
    assert "<em>Made with</em> seeds 1-3; full length, commit <code>abc</code>." in page
    assert (tmp_path / "data" / "first-1.csv").read_text() == "a,b\n1,2\n"
    assert (tmp_path / "data" / "first.json").read_text() == '{"n":0.123457}\n'


def test_options__workers__are_what_experiments_run_on():
    options = Options(2, Workers(), None, None, None, quick=True, watch=print)
    assert options.scaled(5, 2) == 2
