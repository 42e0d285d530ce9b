"""Where simulations run: cores and Ray give the same results in the same order; a missing Ray is said so."""

from dataclasses import asdict
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from node.cli.simulate import app
from node.sim.backends import BackendMissing, Workers
from node.sim.compare import Job, run_all, run_tasks
from node.sim.scenario import paper_scenario

pytestmark = pytest.mark.unit


def square(number):
    return number * number


def count_up(path):
    calls = int(path.read_text()) if path.exists() else 0
    path.write_text(str(calls + 1))
    return calls


@pytest.mark.parametrize("count", [1, 2])
def test_workers__cores__answer_in_order_of_the_items(count):
    assert list(Workers(count).map(square, [3, 1, 2])) == [9, 1, 4]


def test_run_tasks__kept_result__is_read_back_instead_of_run(tmp_path):
    calls, store = tmp_path / "calls", tmp_path / "store"
    assert list(run_tasks(count_up, [calls], Workers(), store)) == [0]
    assert list(run_tasks(count_up, [calls], Workers(), store)) == [0]
    assert list(run_tasks(count_up, [calls], Workers())) == [1]


def test_workers__ray_not_installed__says_what_to_install(monkeypatch):
    monkeypatch.setattr("node.sim.backends.find_spec", lambda _: None)
    with pytest.raises(BackendMissing, match="pip install"):
        Workers(1, "ray").check()
    result = CliRunner().invoke(app, ["--setting", "S1", "--seeds", "1", "--backend", "ray", "--no-resume"])
    assert result.exit_code == 2
    assert "Ray is not installed" in " ".join(result.output.replace("│", " ").split())


def test_simulate__unknown_backend__exits_2():
    result = CliRunner().invoke(app, ["--setting", "S1", "--backend", "abacus"])
    assert result.exit_code == 2
    assert "none of processes, ray" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is an extra: pip install 'wwwserve[ray]'")
def test_run_all__ray__gives_the_figures_of_this_process():
    jobs = [Job(paper_scenario("S1"), system, seed) for system in ("single", "adaptive") for seed in (1, 2)]
    here, there = (list(run_all(jobs, workers)) for workers in (Workers(), Workers(2, "ray")))
    assert [asdict(done) for done in here] == [asdict(done) for done in there]
