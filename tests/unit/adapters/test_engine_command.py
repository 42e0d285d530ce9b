"""vLLM's command line and environment: the flags that billing, safety and quiet rely on."""

from pathlib import Path

import pytest

from node.adapters.engine.command import EngineSpec, build_command, build_environment, check_spec
from node.core.errors import BadConfig

SPEC = EngineSpec(Path("/v/bin/vllm"), Path("/m"), "small", extra=("--seed", "1"))


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_command__cpu__model_first_loopback_only_float32_and_bounded():
    command = build_command(SPEC, 8101)
    assert command[:3] == ["/v/bin/vllm", "serve", "/m"]
    assert value(command, "--host") == "127.0.0.1"
    assert value(command, "--port") == "8101"
    assert value(command, "--dtype") == "float32"
    assert value(command, "--kv-cache-memory-bytes") == str(512 * 2**20)
    assert value(command, "--max-num-queued-reqs") == "32"
    assert value(command, "--shutdown-timeout") == "30"
    assert "--enforce-eager" in command
    assert command[-2:] == ["--seed", "1"]


def test_command__gpu__leaves_type_memory_and_compiling_to_vllm():
    command = build_command(EngineSpec(Path("/v"), Path("/m"), "x", device="gpu"), 1)
    assert not {"--dtype", "--kv-cache-memory-bytes", "--enforce-eager"} & set(command)


def test_command__relative_paths__made_absolute_for_the_engine_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = build_command(EngineSpec(Path("vllm"), Path("model"), "x"), 1)
    assert (command[0], command[2]) == (str(tmp_path / "vllm"), str(tmp_path / "model"))


def test_environment__ours__not_passed_on_and_the_engine_is_offline():
    base = {"PATH": "/bin", "PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "WWWSERVE_KEY_PASSWORD": "secret"}
    made = build_environment(SPEC, Path("/run/e"), base)
    assert made["PATH"] == "/bin"
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "WWWSERVE_KEY_PASSWORD"} & set(made)
    assert made["HF_HUB_OFFLINE"] == made["VLLM_NO_USAGE_STATS"] == "1"
    assert made["TMPDIR"] == made["VLLM_RPC_BASE_PATH"] == "/run/e"
    assert made["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"


def test_environment__cache_given__kept_between_runs():
    spec = EngineSpec(Path("/v"), Path("/m"), "x", cache=Path("/keep"))
    assert build_environment(spec, Path("/run/e"), {})["VLLM_CACHE_ROOT"] == "/keep"
    assert build_environment(SPEC, Path("/run/e"), {})["VLLM_CACHE_ROOT"] == "/run/e/cache"


def test_check_spec__not_linux__names_the_way_out(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(BadConfig, match="--engine URL"):
        check_spec(SPEC)


def test_check_spec__whole__silent(tmp_path):
    (tmp_path / "vllm").touch()
    (tmp_path / "config.json").touch()
    check_spec(EngineSpec(tmp_path / "vllm", tmp_path, "x"))
    with pytest.raises(BadConfig, match="not a model folder"):
        check_spec(EngineSpec(tmp_path / "vllm", tmp_path / "no", "x"))
