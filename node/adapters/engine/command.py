"""How vLLM is started: its flags and its environment, and why each is there. Starts nothing."""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node.core.errors import BadConfig

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One vLLM. `port` 0 takes a free one at the first start. The figures suit two cores and SmolLM2-135M."""

    vllm: Path
    model: Path
    served_name: str
    device: Literal["cpu", "gpu"] = "cpu"
    port: int = 0
    max_model_len: int = 2_048
    kv_cache_bytes: int = 512 * MEBIBYTE
    """46 kB a token in float32; touched at start, so it is resident."""
    max_running: int = 8
    max_queued: int = 32
    """Of all requests inside, the running ones too. Beyond it vLLM answers 503, and the router can go elsewhere."""
    drain_seconds: int = 30
    """After SIGTERM, requests in flight may finish for so long."""
    cache: Path | None = None
    """Kept between runs, what vLLM found out about model classes saves 7 s of processor time at each start."""
    extra: tuple[str, ...] = ()


def build_command(spec: EngineSpec, port: int) -> list[str]:
    """The command line; the model must come first after `serve`."""
    flags = {
        "--served-model-name": spec.served_name,
        "--host": "127.0.0.1",  # its key does not guard every route: nobody but the node may reach it
        "--port": port,
        "--max-model-len": spec.max_model_len,
        "--max-num-seqs": spec.max_running,
        "--max-num-queued-reqs": spec.max_queued,
        "--shutdown-timeout": spec.drain_seconds,
    }
    switches = [
        "--enable-request-id-headers",
        "--enable-server-load-tracking",
        "--enable-prompt-tokens-details",
        "--disable-fastapi-docs",
        "--disable-uvicorn-access-log",
    ]
    if spec.device == "cpu":
        # float32: results do not depend on the batch, and it is faster where the processor has no bfloat16.
        # Eager: compiling costs 100 s at the first start and gains a tenth.
        flags |= {"--dtype": "float32", "--kv-cache-memory-bytes": spec.kv_cache_bytes}
        switches.append("--enforce-eager")
    pairs = [str(part) for pair in flags.items() for part in pair]
    return [str(spec.vllm.absolute()), "serve", str(spec.model.absolute()), *pairs, *switches, *spec.extra]


def build_environment(spec: EngineSpec, run_folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """`base` without what would leak in (our virtual environment, our keys), plus what vLLM needs."""
    kept = {name: text for name, text in base.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "WWWSERVE_"))}
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"), "1")
    own = {
        "TMPDIR": run_folder,
        "VLLM_RPC_BASE_PATH": run_folder,
        "VLLM_CACHE_ROOT": spec.cache or run_folder / "cache",
    }
    # One process fewer, and no pinning to core 0, where two engines would starve each other.
    lean = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"} if spec.device == "cpu" else {}
    return kept | offline | {name: str(path) for name, path in own.items()} | lean


def choose_port(wanted: int) -> int:
    """A port nobody listens on now. Raises BadConfig: else the health check would greet a stranger's server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as exc:
            raise BadConfig(f"the engine cannot listen on 127.0.0.1:{wanted}: {exc.strerror}") from exc
        return int(probe.getsockname()[1])


def check_spec(spec: EngineSpec) -> None:
    """Raises BadConfig for what vLLM would take a minute to refuse."""
    if sys.platform != "linux":
        raise BadConfig("engines are supervised on Linux only; start yours by hand and use --engine URL")
    if not spec.vllm.is_file():
        raise BadConfig(f"there is no vLLM at {spec.vllm}; run scripts/setup_engine.py, or use --engine URL")
    if not (spec.model / "config.json").is_file():
        raise BadConfig(f"{spec.model} is not a model folder (it has no config.json); run scripts/setup_engine.py")
