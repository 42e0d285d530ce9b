"""Line and branch coverage of `contracts/src`: anything below 100 % fails. Reads forge's lcov output, prints what is bare."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "contracts/src/"


def _bare(text: str) -> tuple[list[str], int, int]:
    """Uncovered lines and branches, and how many of both there are."""
    bare, lines, branches, path = [], 0, 0, ""
    for record in text.splitlines():
        if record.startswith("SF:"):
            path = record[3:]
        counted = path.startswith(SOURCE)
        if counted and (found := re.match(r"DA:(\d+),(\d+)", record)):
            lines += 1
            bare += [f"{path}:{found[1]}: line never reached"] if found[2] == "0" else []
        if counted and (found := re.match(r"BRDA:(\d+),(\d+),(\d+),(\S+)", record)):
            branches += 1
            bare += [f"{path}:{found[1]}: branch {found[3]} never taken"] if found[4] in ("0", "-") else []
    return bare, lines, branches


def main() -> int:
    """Prints what is bare; exits 1 if anything is."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lcov.info"
        command = ["node_modules/.bin/forge", "coverage", "--report", "lcov", "--report-file", str(report)]
        command += ["--no-match-contract", "GasTest|InvariantsTest", "--no-match-test", "codeSize"]
        environment = os.environ | {"FOUNDRY_FUZZ_RUNS": "32", "FOUNDRY_PROFILE": "coverage"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if not report.exists():
            sys.stdout.write(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n")
            return 2
        bare, lines, branches = _bare(report.read_text("utf-8"))
    for each in bare:
        sys.stdout.write(f"coverage: {each}\n")
    total = lines + branches
    share = 100 * (total - len(bare)) / max(total, 1)
    sys.stdout.write(f"coverage: {lines} lines, {branches} branches, {share:.1f} %\n")
    return 1 if bare or not total else 0


if __name__ == "__main__":
    sys.exit(main())
