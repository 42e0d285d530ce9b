"""Which Python the environment is made from, and that no trouble with another one ever stops the set-up."""

import io
import os
import sys
from pathlib import Path

import pytest

from scripts.setup import checkout, interpreters, stamps, venvs
from scripts.setup.checkout import Wanted
from scripts.setup.errors import SetupError
from scripts.setup.interpreters import Choice, choose_python

NAME = f"python{interpreters.VERSION}"
OWN = venvs.base_python()


@pytest.fixture(autouse=True)
def no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON", raising=False)


def program(folder: Path, content: bytes = b"\x7fELF") -> str:
    folder.mkdir(parents=True)
    path = folder / NAME
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


def choose(monkeypatch: pytest.MonkeyPatch, others: dict[str, float | None], own: float | None = 1.0) -> Choice:
    times = {OWN: own, **others}
    monkeypatch.setattr(interpreters, "_others", lambda _: list(others))
    monkeypatch.setattr(interpreters, "_probe", times.__getitem__)
    return choose_python()


def test_choose__another_is_clearly_faster__taken_and_said_why(monkeypatch):
    choice = choose(monkeypatch, {"/a": 0.95, "/b": 0.75, "/c": 0.8})
    assert choice.python == "/b"
    assert "25 % less processor time than" in choice.reason


def test_choose__hardly_faster__the_running_one(monkeypatch):
    assert choose(monkeypatch, {"/a": 0.95}) == Choice(OWN)


def test_choose__others_do_not_work__the_running_one(monkeypatch):
    assert choose(monkeypatch, {"/a": None}) == Choice(OWN)


def test_choose__the_running_one_cannot_be_timed__the_running_one(monkeypatch):
    assert choose(monkeypatch, {"/a": 0.1}, own=None) == Choice(OWN)


def test_choose__python_is_named__taken_without_a_run(monkeypatch, tmp_path):
    named = program(tmp_path / "bin")
    monkeypatch.setenv("PYTHON", named)
    assert choose(monkeypatch, {"/a": 0.1}) == Choice(named, "as PYTHON says")


def test_choose__named_python_is_not_there__the_running_one_and_said(monkeypatch):
    monkeypatch.setenv("PYTHON", "/nowhere/python")
    choice = choose(monkeypatch, {})
    assert choice.python == OWN
    assert "/nowhere/python" in choice.reason


def test_others__shims_links_and_environments__left_out(monkeypatch, tmp_path):
    real = program(tmp_path / "good")
    program(tmp_path / "shims", b"#!/bin/sh\n")
    program(tmp_path / "env" / "bin")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    for folder, target in (("again", real), ("own", OWN)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / NAME).symlink_to(target)
    folders = [tmp_path / name for name in ("good", "shims", "env/bin", "again", "own", "missing")]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    found = [path for path in interpreters._others(OWN) if not path.startswith("/usr/bin/")]
    assert found == [real]


def test_probe__a_python_that_works__seconds():
    seconds = interpreters._probe(OWN)
    assert seconds is not None
    assert 0 < seconds < 9


def test_probe__something_else__none(tmp_path):
    assert interpreters._probe(program(tmp_path / "bad")) is None
    assert interpreters._probe("/nowhere/python") is None
    assert interpreters._probe("/bin/true") is None


def test_probe__another_version_than_the_running__none(monkeypatch):
    monkeypatch.setattr(interpreters, "VERSION", "3.1")
    assert interpreters._probe(OWN) is None


def make_with(monkeypatch: pytest.MonkeyPatch, root: Path, broken: set[str]) -> list[str]:
    made: list[str] = []

    def make(folder: Path, step: object, *, python: str) -> None:
        made.append(python)
        if python in broken:
            raise SetupError("first line\nno ensurepip here")

    monkeypatch.setattr(checkout, "choose_python", lambda: Choice("/fast", "it is fast"))
    monkeypatch.setattr(checkout, "make_venv", make)
    monkeypatch.setattr(checkout, "_install", lambda *_: None)
    checkout._make_anew(Wanted(root, ()), "missing", [])
    return made


def test_make_anew__the_chosen_one_works__used_and_told(monkeypatch, tmp_path, capsys):
    assert make_with(monkeypatch, tmp_path, set()) == ["/fast"]
    assert "Python: /fast (it is fast)" in capsys.readouterr().err


def test_make_anew__the_chosen_one_fails__the_running_one_and_told(monkeypatch, tmp_path, capsys):
    assert make_with(monkeypatch, tmp_path, {"/fast"}) == ["/fast", OWN]
    assert "/fast will not do (no ensurepip here): going on with " + OWN in capsys.readouterr().err


def test_make_anew__both_fail__an_error(monkeypatch, tmp_path):
    with pytest.raises(SetupError, match="no ensurepip here"):
        make_with(monkeypatch, tmp_path, {"/fast", OWN})


@pytest.mark.parametrize(
    ("given", "version", "expected"),
    [
        ("/bin/sh", interpreters.VERSION, "/bin/sh"),
        ("/bin/sh", "3.1", OWN),
        ("/nowhere/python", interpreters.VERSION, OWN),
        (None, None, OWN),
    ],
)
def test_given_python__stamp_of_the_environment__kept_for_the_engine(monkeypatch, tmp_path, given, version, expected):
    stamps.write_stamp(tmp_path, given=given, given_version=version)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert interpreters.given_python() == expected


def test_tell__nothing_to_choose__silent(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    interpreters.tell(Choice(OWN))
    assert out.getvalue() == ""
