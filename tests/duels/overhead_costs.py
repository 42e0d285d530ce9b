"""What `make bench-duels` makes of a run: waits with intervals, purchases from the nodes' books, gas from the chain."""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from node.core.hashing import keccak
from tests.duels.court_market import CourtMarket
from tests.net.figures import percentile

DRAWS, CONFIDENCE = 4000, 0.992
"""Six comparisons (three rates; first event and last) at 99.2 % each are wrong together one time in twenty."""
STEPS = {
    "Opened(bytes32,address,address,address,bytes32,bytes32,bytes32,bytes32,bytes32,uint8,uint32,uint64,uint96)": 1,
    "Drawn(bytes32,uint256,uint256,uint64)": 1,
    "Committed(bytes32,uint8,address,bytes32)": 5,
    "Revealed(bytes32,uint8,address,uint8,bytes32)": 5,
    "Finalized(bytes32,uint8,uint128,uint128,uint128,uint128,uint128)": 1,
}
"""The events of a duel's transactions, and how many of each a duel has."""


@dataclass
class Taken:
    """Milliseconds of one setting, by rounds: to the first event and to the last."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def interval(values: Sequence[float], of: Callable[[list[float]], float]) -> dict[str, float]:
    """A statistic of sorted values, with its bootstrap interval."""
    dice = Random(1)
    drawn = sorted(of(sorted(dice.choices(values, k=len(values)))) for _ in range(DRAWS))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = percentile(drawn, tail), percentile(drawn, 1.0 - tail)
    return {"ms": round(of(sorted(values)), 2), "low": round(low, 2), "high": round(high, 2)}


def told(taken: Taken, without: Taken) -> dict[str, Any]:
    """p50 and p99 of a setting, and its paired difference from no duels."""
    said: dict[str, Any] = {}
    for name in ("first", "whole"):
        ours, theirs = getattr(taken, name), getattr(without, name)
        said[name] = {
            "p50": interval(ours, lambda one: percentile(one, 0.5)),
            "p99": interval(ours, lambda one: percentile(one, 0.99)),
        }
        if taken is not without:
            added = [mine - other for mine, other in zip(ours, theirs, strict=True)]
            said[name]["added_p50"] = interval(added, lambda one: percentile(one, 0.5))
    return said


@dataclass(frozen=True)
class Costs:
    """Read from the chain and from the nodes' own databases."""

    market: CourtMarket

    def logs(self, signature: str) -> list[dict[str, Any]]:
        court = json.loads(self.market.deployment.read_text())["duels"]
        wanted = {"address": court, "topics": ["0x" + keccak(signature.encode()).hex()], "fromBlock": "0x0"}
        return list(self.market.chain.call("eth_getLogs", wanted))

    def second_purchases(self, name: str) -> int:
        """Requests that a dispatcher bought once more: a second executor's answer has the first one's id."""
        file = self.market.plan.folder / f"{name}-offload.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as books:
            return int(books.execute("SELECT count(*) - count(DISTINCT request_id) FROM purchase").fetchone()[0])

    def gas_of_steps(self) -> dict[str, int]:
        """Mean gas of the transactions that made each event."""
        means = {}
        for signature in STEPS:
            hashes = {log["transactionHash"] for log in self.logs(signature)}
            used = [int(self.market.chain.transaction_receipt(one)["gasUsed"], 16) for one in hashes]
            means[signature.partition("(")[0]] = round(sum(used) / len(used))
        return means

    def opened_by(self, name: str) -> int:
        """Duels of one dispatcher: the first word of the event's data names it."""
        owner = self.market.provider(name).owner.lower()[2:]
        opened, *_ = STEPS
        return sum(log["data"][26:66] == owner for log in self.logs(opened))

    def asked(self, name: str) -> int:
        """Requests that users made of one node and paid: its own receipts."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.market.plan.folder / name}.db?mode=ro", uri=True)
        ) as books:
            return int(books.execute("SELECT count(*) FROM receipt").fetchone()[0])
