"""`make bench-draw`: how long the first ten of a draw take among many providers, and what splitting a stake wins.

Last line: `draw: ok`, or the miss.

The table is built once a registry snapshot; what a request waits for is the draw itself. Judged by the median of the
clock and the 99th percentile of the processor's time: on a busy machine the clock's tail is other people's work.
"""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

from node.core.hashing import keccak, word
from node.core.routing.draw import StakeTable
from node.core.types import Address, Amount
from tests.net.figures import machine, percentile, write_figure
from tests.net.sybil import NAMES, SEATS, SHARE, Share
from tests.net.sybil import measure as measure_shares

FIRST = 10
DRAWS = 300
SYBIL_DRAWS = 60_000
MUST_MS = {10_000: 1.0, 100_000: 10.0}


def measure(providers: int) -> dict[str, Any]:
    """Seconds to build the table, and milliseconds of the first ten of many draws."""
    dice = Random(providers)
    stakes = [(Address(keccak(word(n))[:20]), Amount(int(dice.paretovariate(1.2) * 10**9))) for n in range(providers)]
    began = time.perf_counter()
    table = StakeTable(stakes)
    built = time.perf_counter() - began
    taken, worked = list[float](), list[float]()
    for n in range(DRAWS):
        seed = keccak(b"bench" + word(n))
        began, at_work = time.perf_counter(), time.thread_time()
        order = table.order(seed)
        for _ in range(FIRST):
            next(order)
        worked.append((time.thread_time() - at_work) * 1e3)
        taken.append((time.perf_counter() - began) * 1e3)
    taken.sort()
    worked.sort()
    return {
        "providers": providers,
        "first": FIRST,
        "draws": DRAWS,
        "p50_ms": round(percentile(taken, 0.5), 4),
        "p99_ms": round(percentile(taken, 0.99), 4),
        "cpu_p99_ms": round(percentile(worked, 0.99), 4),
        "table_ms": round(built * 1e3, 1),
        "must_ms": MUST_MS[providers],
    }


def sybil() -> dict[str, Any]:
    """Shares of work in one name and in many, by seats and by distinct candidates; half widths of 95 % intervals."""

    def shown(shares: tuple[Share, Share]) -> dict[str, Any]:
        return {
            name: {"share": round(one.share, 4), "plus_minus": round(one.noise, 4)}
            for name, one in zip(("one_name", "many_names"), shares, strict=True)
        }

    return {
        "stake_share": SHARE,
        "names": NAMES,
        "seats": SEATS,
        "draws": SYBIL_DRAWS,
        "seats_drawn_with_replacement": shown(measure_shares(SYBIL_DRAWS)),
        "distinct_candidates": shown(measure_shares(SYBIL_DRAWS, with_seats=False)),
    }


def main() -> None:
    """Measure, write docs/figures/draw.json, say whether the targets are met."""
    rows = [measure(providers) for providers in MUST_MS]
    file = Path(__file__).resolve().parents[2] / "docs" / "figures" / "draw.json"
    shares = sybil()
    write_figure(file, {"command": "make bench-draw", **machine(), "rows": rows, "sybil": shares})
    print(json.dumps([*rows, shares], indent=1))
    late = [row for row in rows if max(row["p50_ms"], row["cpu_p99_ms"]) > row["must_ms"]]
    print("draw: ok" if not late else f"draw: missed {', '.join(str(row['providers']) for row in late)}")
    raise SystemExit(1 if late else 0)


if __name__ == "__main__":
    main()
