"""`scripts/simulate.py`: the documented JSON shape, and every wrong argument answered with one sentence and exit 2."""

import asyncio
import json

import httpx
import pytest
from typer.testing import CliRunner

from node.cli.calibrate import EngineUnusable, Plan, measure_engine
from node.cli.simulate import EXPERIMENT_NAMES, app, commit_name
from node.sim.experiments.scale import measure, scale_section

pytestmark = pytest.mark.unit

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def make_trace(tmp_path, rows=25):
    path = tmp_path / "trace.csv"
    lines = (f"2023-11-16 18:00:{second:02d}.6805900,{100 + second},{20 + second}\n" for second in range(rows))
    path.write_text(HEAD + "".join(lines))
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_simulate__trace__writes_the_documented_json(tmp_path):
    out = tmp_path / "out.json"
    result = invoke(
        "--trace", make_trace(tmp_path), "--nodes", 2, "--systems", "single,central-oracle,paper,adaptive",
        "--seeds", 2, "--slo", "1,5", "--json", out, "--no-resume",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    systems = json.loads(out.read_text())["systems"]
    assert list(systems) == ["single", "central-oracle", "paper", "adaptive"]
    for figures in systems.values():
        assert {"mean", "p50", "p95", "p99", "throughput", "messages", "ttft_mean"} <= figures.keys()
        assert list(figures["slo"]) == ["1", "5"]
        assert figures["answered"] == figures["requests"] == 25
        assert figures["p50"] <= figures["p95"] <= figures["p99"]


def test_simulate__azure_trace_without_slo__uses_the_documented_thresholds(tmp_path):
    result = invoke("--trace", make_trace(tmp_path), "--systems", "single", "--seeds", 1, "--no-resume", "--json", "-")
    assert list(json.loads(result.output)["systems"]["single"]["slo"]) == ["5", "10", "20", "40"]


def test_simulate__load__changes_the_number_or_the_pace_of_arrivals(tmp_path):
    trace = make_trace(tmp_path, 60)
    common = ("--trace", trace, "--systems", "single", "--seeds", 1, "--no-resume", "--json", "-")
    thin, fast = (json.loads(invoke(*common, "--load", load).output)["systems"]["single"] for load in (0.5, 4))
    assert thin["requests"] < 45
    assert fast["requests"] == 60
    assert fast["throughput"] > 2 * thin["throughput"]


def test_simulate__setting__prints_a_table():
    result = invoke("--setting", "s1", "--systems", "single,adaptive", "--seeds", 1, "--no-resume")
    assert result.exit_code == 0
    assert "S1: 4 nodes" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--systems", "telepathy", "--setting", "S1"), "unknown system"),
        (("--setting", "S9"), "give --trace"),
        (("--setting", "S1", "--slo", "soon"), "--slo"),
        (("--setting", "S1", "--slo", "-3"), "positive"),
        (("--trace", "nowhere.csv"), "nowhere.csv"),
        (("reproduce", "--only", "alchemy"), "unknown experiment"),
    ],
)
def test_simulate__wrong_argument__exits_2_with_a_sentence_and_no_traceback(arguments, words):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("extra", "words"),
    [(("--engine-profile", "abacus"), "unknown engine"), (("--spread", "wild"), "rotating nor even")],
)
def test_simulate__wrong_engine_or_spread__exits_2(tmp_path, extra, words):
    result = invoke("--trace", make_trace(tmp_path), *extra)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_simulate__bad_trace__names_the_line(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(HEAD + "never,1,2\n")
    result = invoke("--trace", path)
    assert result.exit_code == 2
    assert "line 2" in result.output


def test_coalitions__shipped_settings__none_profitable():
    result = invoke("coalitions")
    assert result.exit_code == 0
    assert result.output.strip().splitlines()[-1] == "coalitions: settings 16, profitable 0"


def test_reproduce__one_experiment__writes_the_report(tmp_path):
    result = invoke("reproduce", "--quick", "--only", "coalitions", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "Coalitions against duels" in (tmp_path / "README.md").read_text()
    assert "Made with* no seeds needed; shortened runs, commit `" in (tmp_path / "README.md").read_text()
    assert "coalitions" in EXPERIMENT_NAMES


def test_bench__two_small_sizes__ends_with_the_summary_line(tmp_path):
    result = invoke("bench", "--nodes", "2,4", "--requests", 30, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.strip().splitlines()[-1].startswith("sim-bench: sizes 2, largest 4, cost ratio ")
    points = json.loads((tmp_path / "data" / "scale-bench.json").read_text())["points"]
    assert [point["nodes"] for point in points] == [2, 4]
    assert all(point["measured"].startswith("make sim-bench, commit ") for point in points)


def test_scale_section__kept_benches__stand_beside_this_run(tmp_path):
    assert invoke("bench", "--nodes", "2", "--requests", 20, "--out", tmp_path).exit_code == 0
    section = scale_section([measure(3, 2.0), measure(3, 2.0, "paper")], tmp_path)
    rows = [(row[0], row[1], row[-1].partition(",")[0]) for row in section.tables[0].rows]
    assert rows == [
        ("adaptive", "3", "this run"),
        ("paper", "3", "this run"),
        ("adaptive", "2", "make sim-bench"),
    ]


def test_commit_name__no_git__is_said_instead(monkeypatch):
    assert commit_name()
    monkeypatch.setenv("PATH", "")
    assert commit_name() == "unknown (no git here)"


def stub_engine(status=200, events=40):
    def answer(request):
        asked = json.loads(request.content)
        count = min(asked["max_tokens"], events)
        return httpx.Response(
            status, text="".join('data: {"choices":[]}\n\n' for _ in range(count)) + "data: [DONE]\n\n"
        )

    return httpx.MockTransport(answer)


def test_measure_engine__streams__gives_a_point_a_batch_and_prompt():
    plan = Plan("http://engine.test", "m", (1,), tokens=30, replay=False)
    found = asyncio.run(measure_engine(plan, stub_engine()))
    assert [(point.sequences, point.kv_tokens) for point in found.points] == [(1, 35.0), (1, 315.0)]
    assert all(point.step_ms >= 0 for point in found.points)


@pytest.mark.parametrize(
    ("engine", "words"),
    [(stub_engine(status=500), "status 500"), (stub_engine(events=1), "one by one")],
)
def test_measure_engine__engine_of_another_kind__says_why(engine, words):
    with pytest.raises(EngineUnusable, match=words):
        asyncio.run(measure_engine(Plan("http://engine.test", "m", (1,), tokens=30), engine))


def test_measure_engine__connection_refused__is_unusable():
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(EngineUnusable, match="refused"):
        asyncio.run(measure_engine(Plan("http://engine.test", "m", (1,)), httpx.MockTransport(refuse)))
