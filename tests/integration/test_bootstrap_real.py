"""The set-up of a checkout with a real pip, on a project of three lines. Needs a package index, and is slow."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOME = Path(__file__).parents[2]
PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"
[project]
name = "wwwserve"
version = "0.1.0"
dependencies = ["iniconfig"]
[tool.hatch.build.targets.wheel]
packages = ["node"]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "node").mkdir(parents=True)
    (root / "node" / "__init__.py").touch()
    (root / "pyproject.toml").write_text(PROJECT)
    shutil.copytree(
        HOME / "scripts" / "setup", root / "scripts" / "setup", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(HOME / "scripts" / "bootstrap.py", root / "scripts")
    return root


def command(root: Path, *more: str) -> list[str]:
    return [sys.executable, str(root / "scripts" / "bootstrap.py"), "--extras", "", "--no-npm", *more]


def bootstrap(root: Path, *more: str) -> str:
    done = subprocess.run(command(root, *more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def imported_from(root: Path) -> Path:
    code = "import iniconfig, node; print(node.__file__)"
    done = subprocess.run([root / ".venv/bin/python", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return Path(done.stdout.strip()).parents[1]


def test_bootstrap__killed_then_run_twice_then_moved__whole_each_time(checkout: Path):
    first = subprocess.Popen(command(checkout), stderr=subprocess.DEVNULL)
    while not (checkout / ".venv" / ".wwwserve-unfinished").exists():
        assert first.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    first.kill()
    first.wait()
    told = bootstrap(checkout)
    assert "not finished" in told
    assert imported_from(checkout) == checkout
    started_at = time.monotonic()
    assert "nothing to do" in bootstrap(checkout)
    assert time.monotonic() - started_at < 2
    moved = checkout.rename(checkout.with_name("moved"))
    assert "the checkout was moved" in bootstrap(moved)
    assert imported_from(moved) == moved
    report = subprocess.run(command(moved, "--check", "--json"), capture_output=True, text=True, check=False)
    assert (report.returncode, json.loads(report.stdout)["python_packages"]) == (0, True)
