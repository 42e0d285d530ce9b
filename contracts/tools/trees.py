"""Every function that changes state has a `.tree`, every leaf its test, every test of a unit suite its leaf, every custom
error a test that names it. The text is the specification: "when zero amount / it reverts" is `__zeroAmount__reverts`."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "contracts" / "test"
TREES = TESTS / "trees"
INTERFACES = ("IEscrow", "IRegistry", "IDuels")


def _camel(text: str) -> str:
    words = text.strip().split(" ")
    return words[0] + "".join(word[0].upper() + word[1:] for word in words[1:])


def _leaves(path: Path) -> set[str]:
    """Names of the tests that a tree asks for."""
    names, situation = set(), ""
    for line in path.read_text("utf-8").splitlines()[1:]:
        text = line.lstrip("│├└─ ")
        if text.startswith("when "):
            situation = _camel(text.removeprefix("when "))
        elif text.startswith("it "):
            names.add(f"test_{path.stem}__{situation}__{_camel(text.removeprefix('it '))}")
    return names


def _abi(interface: str) -> list[dict]:
    path = ROOT / "contracts" / "out" / f"{interface}.sol" / f"{interface}.json"
    return json.loads(path.read_text("utf-8"))["abi"]


def problems() -> list[str]:
    """What is missing, one sentence each."""
    found = []
    sources = {path: path.read_text("utf-8") for path in TESTS.rglob("*.t.sol")}
    everything = "\n".join(sources.values())
    unit = "\n".join(text for path, text in sources.items() if path.parent.name == "unit")
    tested = set(re.findall(r"function (test_\w+)\(", unit))
    asked = set().union(*(_leaves(path) for path in TREES.glob("*.tree")))
    found += [f"{name}: in a tree, not in the unit tests" for name in sorted(asked - tested)]
    found += [f"{name}: a unit test without a leaf" for name in sorted(tested - asked)]
    for interface in INTERFACES:
        for entry in _abi(interface):
            if entry["type"] == "function" and entry["stateMutability"] == "nonpayable":
                if not (TREES / f"{entry['name']}.tree").exists():
                    found.append(f"{interface}.{entry['name']}: no tree")
            if entry["type"] == "error" and f"{interface}.{entry['name']}.selector" not in everything:
                found.append(f"{interface}.{entry['name']}: no test names this error")
    return found


def main() -> int:
    """Prints what is missing; exits 1 if anything is."""
    found = problems()
    for problem in found:
        sys.stdout.write(f"trees: {problem}\n")
    sys.stdout.write(f"trees: {len(list(TREES.glob('*.tree')))} functions, {len(found)} problems\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
