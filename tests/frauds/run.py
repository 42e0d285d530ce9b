"""Audits every folder of cases/ and compares the codes: all that are expected, no other (`make frauds`)."""

import json
import sys
from pathlib import Path

from node.audit.errors import CannotAuditError
from tests.frauds.auditing import audit_history, codes_of

CASES = Path(__file__).parent / "cases"


def say(line: str) -> None:
    """One line for people."""
    sys.stdout.write(line + "\n")


def load(folder: Path) -> tuple[dict, dict]:
    """(history, expected) of one folder."""
    return tuple(json.loads((folder / f"{name}.json").read_text()) for name in ("history", "expected"))


def found_in(history: dict) -> list[str]:
    """The codes of one history."""
    try:
        return codes_of(audit_history(history))
    except CannotAuditError as exc:
        return [f"could not audit: {exc}"]


def main(names: list[str]) -> int:
    """Prints a line a case; 0 when all are as expected."""
    failed = 0
    folders = [folder for folder in sorted(CASES.iterdir()) if not names or folder.name in names]
    for folder in folders:
        history, expected = load(folder)
        found = found_in(history)
        is_good = found == expected["codes"]
        failed += not is_good
        say(f"{'ok  ' if is_good else 'FAIL'} {folder.name}: {' '.join(found) or 'nothing'}")
        if not is_good:
            say(f"     expected {' '.join(expected['codes']) or 'nothing'}: {expected['story']}")
    say(f"{len(folders) - failed} passed, {failed} failed")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
