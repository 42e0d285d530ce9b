"""The gas table: reads what `GasTest` measured, prints it, and guards `docs/figures/gas.json` against silent growth."""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "build" / "gas.json"
PUBLISHED = ROOT / "docs" / "figures" / "gas.json"
HEADLINE = "gas_per_lane_batch50"
LIMITS = {HEADLINE: 30_000, "gas_per_duel_k5": 850_000}
TOLERANCE = 0.01  # signatures differ in zero bytes when a key or a constant changes


def _load(path: Path) -> dict[str, int]:
    return {name: int(gas) for name, gas in json.loads(path.read_text("utf-8")).items()}


def _differences(measured: dict[str, int], published: dict[str, int]) -> list[str]:
    lines = [f"{name}: measured, not published" for name in sorted(measured.keys() - published.keys())]
    lines += [f"{name}: published, not measured" for name in sorted(published.keys() - measured.keys())]
    for name in sorted(measured.keys() & published.keys()):
        if abs(measured[name] - published[name]) > TOLERANCE * published[name]:
            lines.append(f"{name}: measured {measured[name]:,}, published {published[name]:,}")
    return lines


def main() -> int:
    """Prints the table; the last line is the headline figure. Exits 1 if a figure moved or is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python contracts/tools/gas.py --check")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with the published table")
    mode.add_argument("--write", action="store_true", help="publish what was measured")
    arguments = parser.parse_args()
    measured = _load(MEASURED)
    width = max(map(len, measured))
    for name, gas in sorted(measured.items()):
        sys.stdout.write(f"{name:<{width}}  {gas:>9,}\n")
    problems = [f"{name} is over {limit:,}" for name, limit in LIMITS.items() if measured[name] > limit]
    if arguments.write:
        PUBLISHED.parent.mkdir(parents=True, exist_ok=True)
        PUBLISHED.write_text(json.dumps(dict(sorted(measured.items())), indent=1) + "\n", "utf-8")
    elif arguments.check:
        problems += _differences(measured, _load(PUBLISHED))
    for problem in problems:
        sys.stdout.write(f"gas: {problem}\n")
    sys.stdout.write(f"{HEADLINE}: {measured[HEADLINE]}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
