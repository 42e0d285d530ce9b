"""Copies ABI and creation bytecode of the deployable contracts from forge's output into the node's package.

Deterministic: the same sources give the same bytes on every machine. It never compiles and never touches a chain.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "contracts" / "out"
SHIPPED = ROOT / "node" / "abi"
CONTRACTS = ("Escrow", "Registry", "Duels", "DevCurrency")


def artifact(name: str, built: Path = BUILT) -> str:
    """The shipped form of one contract: its ABI and its creation bytecode."""
    document = json.loads((built / f"{name}.sol" / f"{name}.json").read_text("utf-8"))
    shipped = {"abi": document["abi"], "bytecode": document["bytecode"]["object"]}
    return json.dumps(shipped, indent=1, sort_keys=True) + "\n"


def stale(built: Path = BUILT, shipped: Path = SHIPPED) -> list[str]:
    """Names whose shipped file is not what forge built."""
    names = []
    for name in CONTRACTS:
        path = shipped / f"{name}.json"
        if not path.exists() or path.read_text("utf-8") != artifact(name, built):
            names.append(name)
    return names


def main() -> int:
    """Writes the files, or with --check only compares them."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python contracts/tools/ship_abi.py --check")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a shipped file is stale")
    arguments = parser.parse_args()
    names = stale()
    if arguments.check:
        sys.stdout.write(f"stale: {', '.join(names)} (run `make contracts-abi`)\n" if names else "abi: current\n")
        return 1 if names else 0
    for name in names:
        (SHIPPED / f"{name}.json").write_text(artifact(name), "utf-8")
    sys.stdout.write(f"abi: wrote {', '.join(names)}\n" if names else "abi: current\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
