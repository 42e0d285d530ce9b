"""The steps of `scripts/bootstrap.py`: a checkout ready to work in, made once and checked in milliseconds later.

Never touches anything outside the checkout, and never upgrades what it did not install.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import node_js
from .errors import SetupError
from .interpreters import VERSION, choose_python, tell
from .pip import pip_install, venv_python
from .progress import Step, say
from .stamps import UNFINISHED, digest_of, locked, mark_unfinished, read_stamp, write_stamp
from .system import ensure_system_packages
from .venvs import base_python, make_venv

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_EXTRAS = "sim,test,dev"
EXAMPLES = """examples:
  python3 scripts/bootstrap.py                      everything that `make test` and `make demo` need
  python3 scripts/bootstrap.py --extras "" --no-npm  only what a node needs
  python3 scripts/bootstrap.py --check              say what is present, change nothing
  python3 scripts/bootstrap.py --force              make .venv and node_modules anew
  PYTHON=/usr/bin/python3 make setup                make .venv from this Python, not from the fastest of its version
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller asked for."""

    root: Path
    extras: tuple[str, ...]
    npm: bool = True
    force: bool = False
    system: bool = False

    @property
    def venv(self) -> Path:
        """The environment lives in the checkout, so that checkouts never share one."""
        return self.root / ".venv"


@dataclass(frozen=True, slots=True)
class Present:
    """What `--check` reports."""

    venv: bool
    python_packages: bool
    npm_packages: bool
    node: str | None


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: all is in place. 1: a step failed, or --check found something missing. 2: wrong arguments."""
    args = _parser().parse_args(argv)
    extras = tuple(sorted({name for part in args.extras.split(",") if (name := part.strip())}))
    bad = [name for name in extras if not re.fullmatch(r"[A-Za-z0-9._-]+", name)]
    if bad:
        say(f"bootstrap: {bad[0]!r} is not the name of an extra")
        return 2
    wanted = Wanted(ROOT, extras, npm=not args.no_npm, force=args.force, system=args.system_packages)
    try:
        return _report(wanted, as_json=args.json) if args.check else _set_up(wanted)
    except SetupError as exc:
        say(f"bootstrap: {exc}")
    except KeyboardInterrupt:
        say("bootstrap: interrupted; run it again to go on")
    return 1


def set_up(wanted: Wanted) -> bool:
    """Bring the checkout to the wanted state. True when anything had to be done."""
    with locked(wanted.root / ".cache" / "bootstrap.lock", "bootstrap"):
        python_done = _set_up_python(wanted)
        npm_done = wanted.npm and _set_up_npm(wanted)
        system_done = wanted.system and ensure_system_packages()
    return python_done or npm_done or system_done


def inspect(wanted: Wanted) -> Present:
    """Look, change nothing."""
    tools = node_js.find_node(wanted.venv)
    return Present(
        venv=os.access(venv_python(wanted.venv), os.X_OK),
        python_packages=not _reason_to_install(wanted),
        npm_packages=node_js.are_packages_installed(wanted.root),
        node=tools.version if tools else None,
    )


def _set_up(wanted: Wanted) -> int:
    started_at = time.monotonic()
    changed = set_up(wanted)
    what = "ready" if changed else "nothing to do"
    say(f"bootstrap: {what} ({time.monotonic() - started_at:.1f} s)")
    return 0


def _report(wanted: Wanted, *, as_json: bool) -> int:
    present = inspect(wanted)
    if as_json:
        print(json.dumps(asdict(present)))
    else:
        for name, value in asdict(present).items():
            state = {True: "ok", False: "missing", None: "missing"}.get(value, value)
            say(f"  {name.replace('_', ' ')}: {state}")
    complete = present.python_packages and (present.npm_packages or not wanted.npm)
    return 0 if complete else 1


def _set_up_python(wanted: Wanted) -> bool:
    reason = _reason_to_install(wanted)
    if not reason:
        return False
    extras = sorted({*wanted.extras, *_installed_extras(wanted)})
    if _must_remake(wanted):
        _make_anew(wanted, reason, extras)
    else:
        _install(wanted, extras)
    fields = {"inputs": _python_inputs(wanted), "extras": extras, "root": str(wanted.root)}
    write_stamp(wanted.venv, **fields, given=base_python(), given_version=VERSION)
    return True


def _make_anew(wanted: Wanted, reason: str, extras: list[str]) -> None:
    """From the Python that is fastest here; should that one fail in any way, from the running one."""
    choice, own = choose_python(), base_python()
    tell(choice)
    for python in dict.fromkeys((choice.python, own)):
        try:
            with Step(f"Python environment .venv ({reason})") as step:
                make_venv(wanted.venv, step, python=python)
            _install(wanted, extras)
        except SetupError as exc:
            if python == own:
                raise
            say(f"  {python} will not do ({str(exc).strip().splitlines()[-1].strip()}): going on with {own}")
        else:
            return


def _install(wanted: Wanted, extras: list[str]) -> None:
    mark_unfinished(wanted.venv)
    target = f".[{','.join(extras)}]" if extras else "."
    with Step(f"Python packages {target}") as step:
        pip_install(wanted.venv, ["-e", target], step, cwd=wanted.root)


def _set_up_npm(wanted: Wanted) -> bool:
    if not (wanted.root / "package-lock.json").is_file():
        say("  npm packages: skipped, there is no package-lock.json")
        return False
    if node_js.are_packages_installed(wanted.root) and not wanted.force and node_js.find_node(wanted.venv):
        return False
    tools = node_js.find_node(wanted.venv)
    if tools is None:
        with Step("Node.js (not found here; it comes as a Python package)") as step:
            tools = node_js.fetch_node(wanted.venv, step)
    if wanted.force:
        shutil.rmtree(wanted.root / "node_modules", ignore_errors=True)
    if not node_js.are_packages_installed(wanted.root):
        with Step(f"npm packages (Node.js {tools.version})") as step:
            node_js.install_packages(wanted.root, tools, step)
    return True


def _reason_to_install(wanted: Wanted) -> str:
    """Why the Python environment is not as wanted; '' when it is."""
    stamp = read_stamp(wanted.venv)
    if wanted.force:
        return "asked for"
    if not os.access(venv_python(wanted.venv), os.X_OK):
        return "missing" if not wanted.venv.exists() else "its Python is gone"
    if not stamp:
        return "not finished"
    if stamp.get("root") != str(wanted.root):
        return "the checkout was moved"
    if stamp.get("inputs") != _python_inputs(wanted):
        return "pyproject.toml changed"
    return "" if set(wanted.extras) <= set(_installed_extras(wanted)) else "more extras are wanted"


def _must_remake(wanted: Wanted) -> bool:
    """A changed pyproject.toml is installed over; everything else that is wrong is cured by starting anew.

    An environment made by hand (no stamp, no mark) is kept: somebody may work in it.
    """
    unusable = not os.access(venv_python(wanted.venv), os.X_OK) or not _is_own_python_fit(wanted)
    stamp = read_stamp(wanted.venv)
    moved = bool(stamp) and stamp.get("root") != str(wanted.root)
    interrupted = (wanted.venv / UNFINISHED).exists()
    return unusable or moved or interrupted or wanted.force


def _is_own_python_fit(wanted: Wanted) -> bool:
    """Whether the environment's Python is of 3.11 or newer, read from its own note (no process is started)."""
    try:
        note = (wanted.venv / "pyvenv.cfg").read_text()
    except OSError:
        return False
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", note, re.MULTILINE)
    return found is not None and (int(found[1]), int(found[2])) >= (3, 11)


def _python_inputs(wanted: Wanted) -> str:
    return digest_of(wanted.root / "pyproject.toml")


def _installed_extras(wanted: Wanted) -> list[str]:
    """Extras are only ever added: `make test` and `make demo` ask for different ones in turn."""
    extras = read_stamp(wanted.venv).get("extras")
    return [str(name) for name in extras] if isinstance(extras, list) else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Set up this checkout. Run it again at any time; it does only what is missing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--extras", default=DEFAULT_EXTRAS, help=f"extras of pyproject.toml (default {DEFAULT_EXTRAS})")
    parser.add_argument("--no-npm", action="store_true", help="leave Node.js and the npm packages alone")
    parser.add_argument(
        "--system-packages", action="store_true", help="as root on Debian: what more tests need, if missing"
    )
    parser.add_argument("--force", action="store_true", help="make everything anew")
    parser.add_argument("--check", action="store_true", help="report what is present and exit 0 or 1")
    parser.add_argument("--json", action="store_true", help="with --check: one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
