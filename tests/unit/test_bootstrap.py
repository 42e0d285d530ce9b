"""What the set-up decides without a network: what is to be done, what a killed run leaves, what a person is told."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup import checkout, node_js, stamps, system, venvs
from scripts.setup.checkout import Wanted
from scripts.setup.errors import SetupError
from scripts.setup.process import run
from scripts.setup.progress import Step


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make_checkout(root: Path, *, extras: list[str] | None = None, python: str = "3.11.7") -> Wanted:
    """A checkout with an environment that looks finished."""
    (root / "pyproject.toml").write_text("[project]\n")
    bin_folder = root / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    (root / ".venv" / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {python}\n")
    wanted = Wanted(root, ("test",))
    inputs = checkout._python_inputs(wanted)
    stamps.write_stamp(wanted.venv, inputs=inputs, extras=["test"] if extras is None else extras, root=str(root))
    return wanted


def state(wanted: Wanted) -> tuple[str, bool]:
    return checkout._reason_to_install(wanted), checkout._must_remake(wanted)


def test_plan__all_in_place__nothing_to_do(tmp_path):
    assert state(make_checkout(tmp_path)) == ("", False)


def test_plan__fewer_extras_wanted_than_installed__nothing_to_do(tmp_path):
    assert state(make_checkout(tmp_path, extras=["dev", "sim", "test"])) == ("", False)


def test_plan__more_extras_wanted__installed_over(tmp_path):
    assert state(make_checkout(tmp_path, extras=[])) == ("more extras are wanted", False)


def test_plan__pyproject_changed__installed_over(tmp_path):
    wanted = make_checkout(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nversion='2'\n")
    assert state(wanted) == ("pyproject.toml changed", False)


def test_plan__killed_in_the_middle__made_anew(tmp_path):
    wanted = make_checkout(tmp_path)
    stamps.mark_unfinished(wanted.venv)
    assert state(wanted) == ("not finished", True)


def test_plan__checkout_moved__made_anew(tmp_path):
    make_checkout(tmp_path / "old") if (tmp_path / "old").mkdir() is None else None
    (tmp_path / "old").rename(tmp_path / "new")
    assert state(Wanted(tmp_path / "new", ("test",))) == ("the checkout was moved", True)


def test_plan__base_python_gone__made_anew(tmp_path):
    wanted = make_checkout(tmp_path)
    (wanted.venv / "bin" / "python").unlink()
    (wanted.venv / "bin" / "python").symlink_to("/nowhere/python")
    assert state(wanted) == ("its Python is gone", True)


def test_plan__environment_made_by_hand__installed_into_not_removed(tmp_path):
    wanted = make_checkout(tmp_path)
    (wanted.venv / stamps.STAMP).unlink()
    assert state(wanted) == ("not finished", False)


def test_plan__environment_of_an_old_python__made_anew(tmp_path):
    wanted = make_checkout(tmp_path, python="3.9.2")
    (wanted.venv / stamps.STAMP).unlink()
    assert state(wanted) == ("not finished", True)


def test_plan__forced__made_anew(tmp_path):
    wanted = make_checkout(tmp_path)
    assert state(Wanted(wanted.root, wanted.extras, force=True)) == ("asked for", True)


def test_set_up__nothing_to_do__changes_nothing_and_says_so(tmp_path):
    wanted = make_checkout(tmp_path)
    assert checkout.set_up(Wanted(wanted.root, wanted.extras, npm=False)) is False


def test_npm__lock_file_changed__packages_are_stale(tmp_path):
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "package-lock.json").write_text("{}")
    (tmp_path / "node_modules").mkdir()
    assert not node_js.are_packages_installed(tmp_path)
    stamps.write_stamp(tmp_path / "node_modules", inputs=node_js.npm_inputs(tmp_path))
    assert node_js.are_packages_installed(tmp_path)
    (tmp_path / "package-lock.json").write_text("{ }")
    assert not node_js.are_packages_installed(tmp_path)


def test_find_node__too_old_on_path__the_one_in_the_environment_is_taken(tmp_path, monkeypatch):
    for folder, version in (("old", "v12.1.0"), (".venv/bin", "v24.0.0")):
        for name in ("node", "npm"):
            command = tmp_path / folder / name
            command.parent.mkdir(parents=True, exist_ok=True)
            command.write_text(f"#!/bin/sh\necho {version}\n")
            command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "old"))
    tools = node_js.find_node(tmp_path / ".venv")
    assert tools is not None
    assert (tools.version, tools.npm) == ("v24.0.0", tmp_path / ".venv/bin/npm")
    assert tools.environment()["PATH"].startswith(str(tmp_path / ".venv/bin"))


def test_find_node__none_anywhere__none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert node_js.find_node(tmp_path / ".venv") is None


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_stamp__unreadable__counts_as_none(tmp_path, text):
    (tmp_path / stamps.STAMP).write_text(text)
    assert stamps.read_stamp(tmp_path) == {}


def test_digest__parts_shifted__differs():
    assert stamps.digest_of("ab", "c") != stamps.digest_of("a", "bc")


def test_lock__held_by_another_process__waited_for_even_when_that_one_is_killed(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import subprocess, sys, time; from pathlib import Path; from scripts.setup.stamps import locked\n"
        "with locked(Path(sys.argv[1]), 't'):\n"
        " subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1.0)'], close_fds=False)\n"
        " print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with path.open("a+") as file:
        assert not stamps._try_lock(file.fileno()), "the child of the killed run still writes"
    with stamps.locked(path, "t"):
        pass


def test_make_venv__no_way_works__says_what_to_install_and_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no ensurepip here\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(SetupError, match="python3-venv") as caught, Step("t", out=io.StringIO()) as step:
        venvs.make_venv(tmp_path / "env", step, python=str(broken))
    assert "- by_venv: no ensurepip here" in str(caught.value)
    assert "- by_uv: uv is not on PATH" in str(caught.value)
    assert (tmp_path / "env" / stamps.UNFINISHED).exists()


def test_run__command_fails__tells_the_command_and_its_last_lines(tmp_path):
    code = "print('first'); print('the cause'); raise SystemExit(3)"
    with pytest.raises(SetupError) as caught, Step("t", out=io.StringIO()) as step:
        run([sys.executable, "-c", code], step)
    assert "ended with 3" in str(caught.value)
    assert str(caught.value).endswith("    first\n    the cause")


def test_run__no_such_command__one_sentence(tmp_path):
    with pytest.raises(SetupError, match="could not be started"), Step("t", out=io.StringIO()) as step:
        run([tmp_path / "missing"], step)


def test_run__interrupted__child_and_grandchild_are_ended(tmp_path):
    note = tmp_path / "pid"
    code = f"import os, subprocess, time; open({str(note)!r}, 'w').write(str(os.getpid())); print('up'); time.sleep(60)"

    def interrupt(_: Step, __: object) -> None:
        if note.exists() and note.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Step("t", out=io.StringIO()) as step:
        run([sys.executable, "-c", code], step, watch=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_step__on_a_terminal__redraws_one_line_and_ends_with_the_time():
    out, clock = Terminal(), Ticks()
    with Step("load", out=out, clock=clock) as step:
        for fraction in (0.0, 0.5, 1.0):
            clock.now += 1
            step.show(fraction, "x")
    assert out.getvalue().count("\n") == 1
    assert "[############............]  50 % x" in out.getvalue()
    assert out.getvalue().endswith("  load: done in 3.0 s\n")


def test_step__in_a_log__a_line_every_quarter_minute_and_a_failure_is_named():
    out, clock = io.StringIO(), Ticks()

    def fail(step: Step) -> None:
        for _ in range(40):
            clock.now += 1
            step.show(None, "x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Step("load", out=out, clock=clock) as step:
        fail(step)
    assert len(out.getvalue().splitlines()) == 4
    assert out.getvalue().endswith("  load: FAILED in 40.0 s\n")


def test_main__odd_extra__exit_2(capsys):
    assert checkout.main(["--extras", "test;rm"]) == 2
    assert "is not the name of an extra" in capsys.readouterr().err


def test_system_packages__missing_without_root__a_line_and_no_error(capsys):
    package = system.SystemPackage("postgresql", "the tests on PostgreSQL", lambda: False)
    assert system.ensure_system_packages((package,), is_root=False) is False
    assert "the tests on PostgreSQL will be skipped" in capsys.readouterr().err


def test_system_packages__present__silent(capsys):
    assert system.ensure_system_packages((system.SystemPackage("x", "y", lambda: True),), is_root=True) is False
    assert capsys.readouterr().err == ""
