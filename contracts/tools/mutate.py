"""A small mutator: one change a mutant, the test suite must notice.

Survivors are printed, and each must be explained in `contracts/test/mutants.json` (mutant -> why it is equivalent), or the
run fails.

Works in temporary copies, one a job; the checkout is only read. They are compiled without optimizer, many times faster:
mutants are about the source, not about the bytecode.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = ROOT / "contracts" / "test" / "mutants.json"
GROUPS = {
    "escrow": (
        "Escrow.sol", "Registry.sol", "escrow/Custody.sol", "escrow/Keys.sol", "escrow/Windows.sol",
        "libraries/Earnings.sol", "libraries/Messages.sol",
    ),
    "duels": (
        "Duels.sol", "duels/Docket.sol", "duels/Faults.sol", "duels/Members.sol", "duels/Purse.sol", "duels/Seeds.sol",
        "duels/Settings.sol", "duels/Trials.sol", "libraries/StakeTree.sol",
    ),
}  # fmt: skip
SWAPS = (
    (" < ", " <= "), (" <= ", " < "), (" > ", " >= "), (" >= ", " > "), (" == ", " != "), (" != ", " == "),
    (" + ", " - "), (" - ", " + "), (" * ", " / "), (" / ", " * "), (" += ", " -= "), (" -= ", " += "),
    (" && ", " || "), (" || ", " && "), ("!", ""), ("++", "--"), (" = true", " = false"), (" : 0", " : 1"),
    ("0x40", "0x60"), ("0x60", "0x40"), ("0xa0", "0x80"), ("0xe0", "0xc0"), ("0x120", "0x100"), ("0xc0", "0xa0"),
)  # fmt: skip
DELETABLE = re.compile(r"^\s+(require\(|emit |_\w+\(|[\w.\[\]()]+ [-+]?= |\([\w., \[\]]+\) = |if \(.*\) return).*;$")
SKIPPED = re.compile(
    r"^\s*(//|/\*|\*|import|pragma|error|event|struct|using|contract|library|abstract|bytes32 internal)"
)
RUN = {"escrow": "Test", "duels": "Duels|StakeTree"}
"""The tests of each group, by contract."""
NOT_RUN = "GasTest|InvariantsTest|VectorsTest"
# Long loops that find nothing the short tests beside them do not, and the size of optimized code.
TOO_LONG = "replayed__isNothingNew|goodRowsPay|codeSize|fitsTheSizeLimit"
SECONDS = 3600
"""A test has a gas limit, so only a machine without room takes so long; it must not count as a kill lightly."""
LEAST_SCORE = 0.9


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed line."""

    group: str
    source: str
    line: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """Stable against moved lines."""
        return f"{self.source}: {self.before.strip()} -> {self.after.strip() or '(deleted)'}"


def _of_line(group: str, source: str, number: int, line: str) -> Iterator[Mutant]:
    place = (group, source, number, line)
    if SKIPPED.match(line):
        return
    for old, new in SWAPS:
        for found in re.finditer(re.escape(old), line):
            if old == "!" and line[found.end() : found.end() + 1] == "=":
                continue
            yield Mutant(*place, line[: found.start()] + new + line[found.end() :])
    if (
        DELETABLE.match(line)
        and " memory " not in line.split("=")[0]
        and not re.match(r"^\s+(address|uint\d+|bytes32|bool)\b", line)
    ):
        yield Mutant(*place, "")
    if line.strip().endswith("nonReentrant {"):
        yield Mutant(*place, line.replace(" nonReentrant", ""))


def mutants(group: str) -> list[Mutant]:
    """All of a group, in file order."""
    found = []
    for source in GROUPS[group]:
        lines = (ROOT / "contracts" / "src" / source).read_text("utf-8").splitlines()
        for number, line in enumerate(lines):
            found += list(_of_line(group, source, number, line))
    return found


def _sample(every: list[Mutant], most: int) -> list[Mutant]:
    """Evenly spread, so that each file and kind keeps its share. The same every time."""
    if len(every) <= most:
        return every
    return [every[i * len(every) // most] for i in range(most)]


def _copy(into: Path) -> None:
    ignored = shutil.ignore_patterns("out*", "cache*", "broadcast")
    shutil.copytree(ROOT / "contracts", into / "contracts", ignore=ignored)
    text = (ROOT / "foundry.toml").read_text("utf-8")
    profiles = r"^(additional_compiler_profiles|compilation_restrictions) = \[.*?\]\n"
    text = re.sub(profiles, "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("optimizer = true", "optimizer = false").replace('deny = "warnings"\n', "")
    (into / "foundry.toml").write_text(text, "utf-8")
    for shared in ("node_modules", "scripts", "tests", "node"):
        (into / shared).symlink_to(ROOT / shared)


def _forge(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        "node_modules/.bin/forge",
        "test",
        "-q",
        "--match-contract",
        tests,
        "--no-match-contract",
        NOT_RUN,
        "--no-match-test",
        TOO_LONG,
        *options,
    ]
    environment = os.environ | {"FOUNDRY_FUZZ_RUNS": "12"}
    return subprocess.run(  # noqa: S603 - our own tool with our own arguments
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def _verdict(folder: Path, mutant: Mutant) -> str:
    """killed, survived, or invalid (it does not compile: no mutant at all)."""
    path = folder / "contracts" / "src" / mutant.source
    original = path.read_text("utf-8")
    lines = original.splitlines()
    lines[mutant.line] = mutant.after
    path.write_text("\n".join(lines) + "\n", "utf-8")
    try:
        done = _forge(folder, RUN[mutant.group], "--fail-fast")
    except subprocess.TimeoutExpired:
        return "killed"
    finally:
        path.write_text(original, "utf-8")
    if "Compiler run failed" in done.stdout + done.stderr or "Compilation failed" in done.stdout + done.stderr:
        return "invalid"
    return "survived" if done.returncode == 0 else "killed"


def _report(verdicts: dict[str, str]) -> int:
    explained = json.loads(EXPLAINED.read_text("utf-8")) if EXPLAINED.exists() else {}
    survivors = [name for name, verdict in verdicts.items() if verdict == "survived"]
    killed = sum(verdict == "killed" for verdict in verdicts.values())
    total = killed + len(survivors)
    for name in survivors:
        sys.stdout.write(f"survivor: {name}\n          {explained.get(name, 'UNEXPLAINED')}\n")
    unexplained = [name for name in survivors if name not in explained]
    sys.stdout.write(f"mutation: {killed}/{total} killed\n")
    return 1 if unexplained or killed < LEAST_SCORE * total else 0


def main() -> int:
    """Runs a spread sample of the mutants and prints the score last."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python contracts/tools/mutate.py --most 40")
    parser.add_argument("--group", choices=GROUPS, action="append", help="only these contracts (default: all)")
    parser.add_argument("--most", type=int, default=160, help="mutants a group, evenly spread (default 160)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once, each in a copy of its own")
    arguments = parser.parse_args()
    groups = arguments.group or list(GROUPS)
    chosen = [one for group in groups for one in _sample(mutants(group), arguments.most)]
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folders: SimpleQueue[Path] = SimpleQueue()
        for job in range(arguments.jobs):
            folders.put(_prepare(Path(name) / str(job), groups))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            verdicts = dict(pool.map(lambda mutant: _try(mutant, folders), chosen))
    return _report(verdicts)


def _prepare(folder: Path, groups: list[str]) -> Path:
    """A copy in which every test passes. Ends the run where they do not: each mutant would look killed."""
    folder.mkdir()
    _copy(folder)
    baseline = _forge(folder, "|".join(RUN[group] for group in groups))
    if baseline.returncode:
        sys.exit(f"{baseline.stdout[-2000:]}{baseline.stderr[-2000:]}\nmutation: the tests fail without a mutant")
    return folder


def _try(mutant: Mutant, folders: SimpleQueue[Path]) -> tuple[str, str]:
    folder, begun = folders.get(), time.monotonic()
    try:
        verdict = _verdict(folder, mutant)
    finally:
        folders.put(folder)
    sys.stdout.write(f"{verdict:8} {time.monotonic() - begun:4.0f} s  {mutant.name}\n")
    sys.stdout.flush()
    return mutant.name, verdict


if __name__ == "__main__":
    sys.exit(main())
