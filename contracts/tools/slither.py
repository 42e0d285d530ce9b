"""slither over `contracts/src`. Every finding must be in EXPLAINED with its reason; a reason nobody needs is an error too."""

import json
import sys
import tempfile
from pathlib import Path

from isolated import run

# (check, a part of the description) -> why it is no fault
EXPLAINED = {
    ("incorrect-equality", "_checkMoved"): "exactly the amount must move: more or less is a currency we refuse",
    ("incorrect-equality", "_earn"): "zero earned means nothing to write; nobody can make it anything else",
    ("incorrect-equality", "_follow"): "compares a row with the row before it, not a balance",
    ("incorrect-equality", "requestThaw"): "a clamped amount of zero has no clock; griefing it only stops one's own thaw",
    ("incorrect-equality", "Docket.open"): "a state that is none, not a balance",
    ("weak-prng", "Trials._seat"): "the seed is the hash of a block that was still to come; 2**256 mod the stake is no bias",
    ("uninitialized-local", "finalize"): "all zeros is what a duel without an appeal has",
    ("calls-loop", "_slashBench"): "at most fifteen seats, and the registry is ours",
    ("unused-return", "Purse._slashToBurn"): "a silent judge is slashed by what is there; nothing comes here to be counted",
    ("unused-return", "Purse._slash"): "what arrived is checked on the currency itself, which is stronger",
    ("unused-return", "_slashStake"): "what arrived is checked on the currency itself, which is stronger",
    ("shadowing-local", "payees"): "an interface's parameter names are documentation, the function is payees(address)",
    ("shadowing-local", "provider"): "an interface's parameter name, as above",
    ("shadowing-local", "stake"): "a parameter name",
    ("missing-zero-check", "duels_"): "zero means a set without duels",
    ("missing-zero-check", "escrow_"): "the constructor calls it: zero has no code and reverts",
    ("reentrancy-benign", "depositWithPermit"): "nonReentrant; a permit moves no money",
    ("timestamp", ""): "windows are hours to days; a validator moves a block's time by seconds",
}


def _explanation(finding: dict) -> tuple[str, str] | None:
    for key in EXPLAINED:
        if finding["check"] == key[0] and key[1] in finding["description"]:
            return key
    return None


def main() -> int:
    """Prints what is unexplained; exits 1 if anything is."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "slither.json"
        arguments = [".", "--foundry-out-directory", "contracts/out-analysis"]
        arguments += ["--filter-paths", "node_modules|contracts/test"]
        arguments += ["--exclude-informational", "--exclude-optimization", "--json", str(report)]
        run("slither", "analysis", arguments, Path(folder) / "log")
        if not report.exists():
            sys.stdout.write((Path(folder) / "log").read_text("utf-8")[-3000:])
            return 2
        findings = json.loads(report.read_text("utf-8"))["results"].get("detectors", [])
    unexplained = [finding for finding in findings if _explanation(finding) is None]
    for finding in unexplained:
        sys.stdout.write(f"slither: {finding['check']} ({finding['impact']}): {finding['description']}\n")
    sys.stdout.write(f"slither: {len(findings)} findings, {len(unexplained)} unexplained\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
