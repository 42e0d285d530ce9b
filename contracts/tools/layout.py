"""Guards the storage layout of the deployable contracts: a moved slot changes gas and every off-chain storage reader."""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "contracts" / "out"
KEPT = ROOT / "contracts" / "test" / "layout.json"
CONTRACTS = ("Escrow", "Registry", "Duels")


def _layout(name: str) -> list[str]:
    document = json.loads((BUILT / f"{name}.sol" / f"{name}.json").read_text("utf-8"))["storageLayout"]
    lines = [f"{each['slot']}.{each['offset']} {each['label']}" for each in document["storage"]]
    for kind in document["types"].values():
        lines += [
            f"{kind['label']} {each['slot']}.{each['offset']} {each['label']}" for each in kind.get("members", ())
        ]
    return sorted(lines)


def main() -> int:
    """Writes the layout, or with --check compares it."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python contracts/tools/layout.py --check")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the layout moved")
    text = json.dumps({name: _layout(name) for name in CONTRACTS}, indent=1) + "\n"
    if not parser.parse_args().check:
        KEPT.write_text(text, "utf-8")
        return 0
    same = KEPT.read_text("utf-8") == text
    sys.stdout.write("layout: current\n" if same else "layout: moved (python contracts/tools/layout.py, and say why)\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
