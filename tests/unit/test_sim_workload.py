"""Workloads, statistics, curves, the store of finished runs."""

import json
from itertools import pairwise
from math import inf

import pytest

from node.sim.backends import Workers
from node.sim.calibrate import Calibration, Point, Replayed, compare_points, fit, predict_replay
from node.sim.compare import Done, Job, as_json, by_system, job_key, run_all
from node.sim.curves import area, attainment, best_gain, moving_average, relative, surely_better
from node.sim.experiments.admission import overloaded
from node.sim.experiments.base import Section, Table
from node.sim.record import Summary, gini, percentile
from node.sim.report import write_report
from node.sim.scenario import Scenario, paper_scenario
from node.sim.stats import interval, paired, ratio
from node.sim.workload import (
    SHAREGPT,
    BadTrace,
    Lengths,
    Phase,
    bursty_phases,
    diurnal_phases,
    even_spread,
    load_trace,
    lognormal_mean,
    mean_gap,
    poisson_arrivals,
    stream,
    trace_arrivals,
    zipf_spread,
)

pytestmark = pytest.mark.unit

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def test_poisson__two_phases__have_their_rates_and_order():
    arrivals = poisson_arrivals([[Phase(1_000, 2.0), Phase(2_000, 0.5)]], SHAREGPT, 1)
    early = sum(arrival.at < 1_000 for arrival in arrivals)
    assert early == pytest.approx(2_000, rel=0.1)
    assert len(arrivals) - early == pytest.approx(500, rel=0.15)
    assert arrivals == sorted(arrivals, key=lambda arrival: arrival.at)
    assert arrivals[-1].at < 2_000


def test_poisson__another_node_added__leaves_the_first_ones_requests_alone():
    one = poisson_arrivals([[Phase(50, 1.0)]], SHAREGPT, 1)
    two = poisson_arrivals([[Phase(50, 1.0)], [Phase(50, 1.0)]], SHAREGPT, 1)
    assert [arrival for arrival in two if arrival.source == 0] == one


def test_lengths__lognormal__has_its_mean_and_its_cap():
    dice, lengths = stream(1, "l"), Lengths(5, 9, 1_000, 0.5, cap=100_000)
    throws = [lengths.throw(dice) for _ in range(5_000)]
    assert sum(tokens for _, tokens in throws) / 5_000 == pytest.approx(lognormal_mean(1_000, 0.5), rel=0.05)
    assert {prompt for prompt, _ in throws} == {5, 6, 7, 8, 9}
    assert max(Lengths(1, 1, 1_000, 2.0, cap=2_000).throw(dice)[1] for _ in range(200)) == 2_000


def test_diurnal_and_bursty__mean_rate__is_near_what_was_asked():
    day = diurnal_phases(2.0, 480.0, 0.3)
    assert sum(phase.rate for phase in day) / len(day) == pytest.approx(2.0)
    assert max(phase.rate for phase in day) > 3.5
    bursts = bursty_phases(1.0, 10_000.0, stream(1, "b"))
    ends = [0.0, *(phase.until for phase in bursts)]
    mass = sum(phase.rate * (phase.until - start) for phase, start in zip(bursts, ends, strict=False))
    assert bursts[-1].until == 10_000.0
    assert 0.5 < mass / 10_000 < 2.0
    assert {phase.rate for phase in bursts} == {0.5, 3.0}


def write_trace(tmp_path, body):
    path = tmp_path / "trace.csv"
    path.write_text(body)
    return path


def azure_rows(count):
    return HEAD + "".join(
        f"2023-11-16 18:{i // 60:02d}:{i % 60:02d}.6805900,{100 + i},{10 + i}\n" for i in range(count)
    )


def test_load_trace__azure_shape__is_read_relative_to_its_start(tmp_path):
    rows = load_trace(write_trace(tmp_path, azure_rows(3)))
    assert [(row.at, row.prompt, row.tokens) for row in rows] == [(0.0, 100, 10), (1.0, 101, 11), (2.0, 102, 12)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("A,B\n1,2\n", "columns"),
        (HEAD, "no requests"),
        (HEAD + "yesterday,1,2\n", "line 2"),
        (HEAD + "2023-11-16 18:15:46.68,x,2\n", "line 2"),
        (HEAD + "2023-11-16 18:15:46.68,-1,2\n", "negative"),
        (HEAD + "2023-11-16 18:15:46.68\n", "line 2"),
        ("", "columns"),
    ],
)
def test_load_trace__not_that_shape__names_what_is_wrong(tmp_path, body, why):
    with pytest.raises(BadTrace, match=why):
        load_trace(write_trace(tmp_path, body))


def test_trace_arrivals__load__presses_or_thins(tmp_path):
    rows = load_trace(write_trace(tmp_path, azure_rows(600)))
    plain = trace_arrivals(rows, even_spread(4), 1.0, 1)
    fast = trace_arrivals(rows, even_spread(4), 2.0, 1)
    thin = trace_arrivals(rows, even_spread(4), 0.25, 1)
    assert (len(plain), len(fast)) == (600, 600)
    assert fast[-1].at == pytest.approx(plain[-1].at / 2)
    assert len(thin) == pytest.approx(150, abs=40)
    gaps = {round(later.at - earlier.at) for earlier, later in pairwise(thin)}
    assert len(gaps) > 3, "every n-th row would destroy the bursts"
    assert all(arrival.max_tokens >= arrival.tokens for arrival in plain)


def test_zipf_spread__turns__move_the_rush_around(tmp_path):
    rows = load_trace(write_trace(tmp_path, azure_rows(2_000)))
    arrivals = trace_arrivals(rows, zipf_spread(4, turns=4), 1.0, 1)
    rush = []
    for turn in range(4):
        sources = [a.source for a in arrivals if turn * 500 <= a.at < (turn + 1) * 500]
        rush.append(max(range(4), key=sources.count))
    assert rush == [0, 1, 2, 3]


def test_mean_gap__even_arrivals__is_the_step():
    arrivals = poisson_arrivals([[Phase(1_000, 1.0)]], SHAREGPT, 1)
    assert mean_gap(arrivals) == pytest.approx(1.0, rel=0.15)
    assert mean_gap([]) == 0.0


def test_overloaded__more_work__than_the_plain_setting():
    assert len(overloaded(1)) > len(paper_scenario("S2").arrivals(1))


def test_interval__known_numbers__students_t():
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.half == pytest.approx(2.776 * (2.5 / 5) ** 0.5)
    assert (found.low, found.high) == (pytest.approx(3 - found.half), pytest.approx(3 + found.half))
    assert interval([7.0]).half == 0.0
    assert interval([1.0, 2.0] * 20).half > 0


def test_paired__common_noise__cancels():
    noise = [1.0, 50.0, -20.0, 7.0]
    found = paired([n + 1 for n in noise], noise)
    assert (found.mean, found.half) == (1.0, 0.0)


def test_percentile_and_gini__known_cases__by_hand():
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([1.0, 2.0], 0.99) == pytest.approx(1.99)
    assert percentile([], 0.5) == 0.0
    assert gini([5, 5, 5]) == pytest.approx(0.0)
    assert gini([0, 0, 0, 9]) == pytest.approx(0.75)
    assert gini([]) == gini([0, 0]) == 0.0


def make_done(latencies, *, requests=None, system="s", seed=1):
    count = requests or len(latencies)
    mean = sum(latencies) / len(latencies)
    summary = Summary(
        count, len(latencies), mean, mean, mean, max(latencies), 0, 0, {"10": 0.5}, 1, 1, 0.5, 2.0, 0.1, 0, 0.0
    )
    return Done("x", system, seed, summary, tuple(sorted(latencies)), ())


def test_attainment__lost_requests__stay_in_the_denominator():
    assert attainment(make_done([100.0, 200.0], requests=4), 150.0) == 0.25


def test_area_and_ratio__faster_everywhere__is_larger():
    fast, slow = make_done([160.0] * 10), make_done([160.0] * 3 + [500.0] * 7)
    assert area(fast) > area(slow)
    best = best_gain([fast, fast], [slow, slow])
    assert (best.threshold, best.ratio.mean) == (160.0, pytest.approx(10 / 3))
    assert best.ratio.half == pytest.approx(0.0)
    assert best.difference.mean == pytest.approx(0.7)
    assert relative([fast], [slow]).mean == pytest.approx(160 / 398 - 1)


def test_best_gain__single_below_a_fifth__is_not_taken():
    seldom = make_done([100.0] + [999.0] * 9)
    assert best_gain([make_done([100.0] * 10)], [seldom]).ratio.mean == 0.0


def test_surely_better__only_where_every_seed_agrees_well_enough():
    slow = [make_done([400.0] * 10)] * 3
    even, uneven = [make_done([290.0] * 10)] * 3, [make_done([290.0] * 9 + [590.0]), make_done([390.0] * 10), slow[0]]
    assert surely_better(even, slow, (100.0, 300.0, 500.0)) == {300.0}
    assert surely_better(uneven, slow, (300.0, 500.0)) == set()


def test_ratio__by_hand__leaves_out_one_seed_after_another():
    found = ratio([0.6, 0.8], [0.5, 0.5])
    pseudo = (2 * 1.4 - 0.8 / 0.5, 2 * 1.4 - 0.6 / 0.5)
    assert found.mean == pytest.approx(1.4)
    assert found.half == pytest.approx(interval(pseudo).half)
    assert ratio([1.0], [2.0]).half == 0.0


def test_moving_average__window__by_hand():
    assert moving_average([1.0, 2.0, 3.0, 4.0], 2) == [1.0, 1.5, 2.5, 3.5]


def tiny(seed_offset=0.0):
    return Scenario(f"tiny{seed_offset}", paper_scenario("S1").nodes, _few, thresholds=(300.0,))


def _few(seed):
    return poisson_arrivals([[Phase(20, 0.5)]], SHAREGPT, seed)


def test_run_all__store__reads_back_instead_of_running(tmp_path):
    jobs = [Job(tiny(), "single", seed) for seed in (1, 2)]
    first = list(run_all(jobs, Workers(), tmp_path))
    for path in tmp_path.glob("*.json"):
        saved = json.loads(path.read_text())
        saved["system"] = "read back"
        path.write_text(json.dumps(saved))
    again = list(run_all(jobs, Workers(), tmp_path))
    assert [done.system for done in again] == ["read back"] * 2
    assert [done.summary for done in again] == [done.summary for done in first]


def test_job_key__code_or_anything_else_changed__is_another_key():
    job = Job(tiny(), "single", 1)
    keys = {
        job_key(job),
        job_key(Job(tiny(), "single", 2)),
        job_key(Job(tiny(), "paper", 1)),
        job_key(Job(tiny(1.0), "single", 1)),
        job_key(job, digest=lambda: "other code"),
    }
    assert len(keys) == 5
    assert job_key(job) == job_key(Job(tiny(), "single", 1))


def test_as_json__shape__is_the_documented_one():
    groups = by_system([make_done([1.0, 3.0], system="single"), make_done([2.0, 2.0], system="single", seed=2)])
    body = as_json(groups)["systems"]["single"]
    assert {"mean", "p50", "p95", "p99", "slo", "throughput", "messages"} <= body.keys()
    assert body["slo"] == {"10": 0.5}
    assert body["messages"] == 4.0
    assert body["seeds"] == [1, 2]


def test_calibration__points_of_a_law__predicts_those_it_has_not_seen():
    points = tuple(
        Point(b, words * b, 46.0 + 4.3 * b + 0.0054 * words * b)
        for b in (1, 2, 4, 8, 12, 16)
        for words in (40.0, 320.0)
    )
    calibration = Calibration("cpu", 300.0, points)
    assert Calibration.from_json(json.loads(json.dumps(calibration.as_json()))) == calibration
    for point, predicted in compare_points(calibration):
        assert predicted == pytest.approx(point.step_ms, rel=0.03)
    assert fit(points, 300.0).prefill_rate == 300.0


def test_write_report__section__appears_in_both_pages_and_its_numbers_beside(tmp_path):
    section = Section(
        "demo", "A <title>", "a question", "Some text.", (Table(("a", "b"), (("1", "2<"),)),), (), {"x": 1 / 3}
    )
    write_report([section], "Preface.\n", tmp_path)
    assert "| 1 | 2< |" in (tmp_path / "README.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "A &lt;title&gt;" in page
    assert "<td>2&lt;</td>" in page
    assert json.loads((tmp_path / "data" / "demo.json").read_text()) == {"x": 0.333333}


def test_scenario__defaults__have_no_deadline_and_nobody_dies():
    scenario = paper_scenario("S4")
    assert len(scenario.nodes) == 8
    assert scenario.deadline is None
    assert {spec.dies_at for spec in scenario.nodes} == {inf}


def test_predict_replay__requests_on_a_known_law__are_predicted_as_the_engine_runs_them():
    points = tuple(Point(b, 100.0 * b, 20.0 + 1.5 * b) for b in (1, 2, 4, 8))
    alone = Replayed(0.0, 100, 11, 0.0, 0.0)
    later = Replayed(50.0, 100, 11, 0.0, 0.0)
    (first, latency), again = predict_replay(Calibration("x", 1_000.0, points, (alone, later)))
    assert first == pytest.approx(0.1, rel=0.05)
    assert latency == pytest.approx(0.1 + 10 * 0.0215, rel=0.1)
    assert again == pytest.approx((first, latency))


def test_calibration__json__comes_back_whole():
    whole = Calibration("x", 10.0, (Point(1, 2.0, 3.0),), (Replayed(0.0, 1, 2, 0.5, 1.0),), 8)
    assert Calibration.from_json(json.loads(json.dumps(whole.as_json()))) == whole
