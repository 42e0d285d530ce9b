"""Writes every seeded history into its folder: `python -m tests.frauds.generate [NAME ...]`. Deterministic."""

import json
import sys
from pathlib import Path

from node.audit.catalogue import CATALOGUE
from tests.frauds import frauds_chain, frauds_duels, frauds_receipts, frauds_settling, honest
from tests.frauds.market import STORIES

HERE = Path(__file__).parent
CASES = HERE / "cases"
PARTS = (honest, frauds_chain, frauds_settling, frauds_receipts, frauds_duels)


def build(name: str) -> tuple[dict, dict]:
    """A story's history and what must be found in it."""
    make, codes, text = STORIES[name]
    built = make()
    history = built if isinstance(built, dict) else built.history()
    hurts = sorted({CATALOGUE[code].hurts for code in codes})
    return history, {"story": text, "codes": codes, "hurts": hurts}


def write(name: str) -> None:
    """One folder."""
    history, expected = build(name)
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.json").write_text(json.dumps(history, separators=(",", ":")) + "\n")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sorted(STORIES):
        write(wanted)
    sys.stdout.write(f"{len(sys.argv[1:] or STORIES)} histories in {CASES.relative_to(HERE.parents[1])}\n")
