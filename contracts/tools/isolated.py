"""Analysis tools that cannot live beside the node's own packages: each in an environment of its own, in the user's cache.

Made once, by pip, at a pinned version. It never touches the checkout's environment.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = {"slither": ("slither-analyzer==0.11.6", "web3<8"), "halmos": ("halmos==0.3.3",)}


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(chosen) if chosen.startswith("/") else Path.home() / ".cache") / "wwwserve" / "tools"


def tool(name: str) -> Path:
    """The program, installed if need be."""
    folder = _cache() / f"{name}-{PINS[name][0].split('==')[1]}"
    program = folder / "bin" / name
    if not program.exists():
        sys.stdout.write(f"{name}: installing {', '.join(PINS[name])} once, into {folder.name}\n")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", *PINS[name]], check=True)  # noqa: S603
    return program


def run(name: str, profile: str, arguments: list[str], output: Path | None = None) -> int:
    """Runs a tool from the repository's root in a profile of foundry.toml."""
    environment = os.environ | {
        "FOUNDRY_PROFILE": profile,
        "PATH": f"{ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}",
    }
    command = [str(tool(name)), *arguments]
    if output is None:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603
    with output.open("w", encoding="utf-8") as sink:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=sink, stderr=sink).returncode  # noqa: S603
