"""Who asks for how much, when: Poisson phases as in the paper, bursts, days, and recorded traces. Seeded, per purpose.

Each random purpose has its own stream, so that changing one (say, the network's losses) leaves the others as they
were and systems can be compared request by request.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import exp, log, pi, sin
from pathlib import Path
from random import Random

MAX_TOKENS = 8192
TRACE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class BadTrace(ValueError):
    """The trace file is not a CSV of the Azure shape."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a workload: when, at which node, how long the prompt, how long the answer will turn out."""

    at: float
    source: int
    prompt: int
    tokens: int
    max_tokens: int = MAX_TOKENS


@dataclass(frozen=True, slots=True)
class Phase:
    """Poisson arrivals at `rate` per second until `until` seconds."""

    until: float
    rate: float


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompts uniform; answers lognormal (median, sigma of the log), cut at `cap`."""

    prompt_low: int
    prompt_high: int
    median: float
    sigma: float
    cap: int = MAX_TOKENS

    def throw(self, dice: Random) -> tuple[int, int]:
        """(prompt, answer) tokens."""
        answer = min(int(dice.lognormvariate(log(self.median), self.sigma)), self.cap)
        return dice.randint(self.prompt_low, self.prompt_high), max(answer, 1)


REASONING = Lengths(80, 110, 6_010, 0.6)
"""The paper's answers: median and sigma calibrated so that S1's `single` lands at the published 200 s."""
SHAREGPT = Lengths(16, 700, 190, 0.9, cap=1_024)
"""Chat lengths of the ShareGPT kind."""


def stream(seed: int, purpose: str) -> Random:
    """An independent random stream for one purpose."""
    return Random(f"{seed}/{purpose}")  # noqa: S311  # a simulation, not a secret


def poisson_arrivals(schedule: Sequence[Sequence[Phase]], lengths: Lengths, seed: int) -> list[Arrival]:
    """One schedule of phases a node, merged in order of time."""
    arrivals: list[Arrival] = []
    for source, phases in enumerate(schedule):
        times, sizes = stream(seed, f"times/{source}"), stream(seed, f"lengths/{source}")
        arrivals.extend(Arrival(at, source, *lengths.throw(sizes), lengths.cap) for at in _poisson_times(phases, times))
    return sorted(arrivals, key=lambda arrival: arrival.at)


def _poisson_times(phases: Sequence[Phase], dice: Random) -> Iterator[float]:
    start = 0.0
    for phase in phases:
        at = start
        while phase.rate > 0 and (at := at + dice.expovariate(phase.rate)) < phase.until:
            yield at
        start = phase.until


def bursty_phases(rate: float, seconds: float, dice: Random, *, factor: float = 6.0, mean: float = 30.0) -> list[Phase]:
    """On-off bursts around a mean `rate`: quiet stretches at rate / 2, bursts at `factor` times that; `mean` s long."""
    phases, at, burst = [], 0.0, False
    while at < seconds:
        at += dice.expovariate(1.0 / mean)
        phases.append(Phase(min(at, seconds), rate / 2 * (factor if burst else 1.0)))
        burst = not burst and dice.random() < 0.5
    return phases


def diurnal_phases(rate: float, seconds: float, shift: float) -> list[Phase]:
    """One day squeezed into `seconds`, in 48 steps: the rate swings between .2 and 1.8 of its mean; `shift` in days."""
    steps = 48
    swing = [rate * (1.0 + 0.8 * sin(2 * pi * (step / steps + shift))) for step in range(steps)]
    return [Phase(seconds * (step + 1) / steps, swing[step]) for step in range(steps)]


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One line of a trace: seconds since its start, prompt and answer tokens."""

    at: float
    prompt: int
    tokens: int


def load_trace(path: Path) -> list[TraceRow]:
    """Read a CSV of the Azure shape. Raises BadTrace naming the line."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not set(TRACE_COLUMNS) <= set(reader.fieldnames or ()):
            raise BadTrace(f"{path.name}: expected the columns {', '.join(TRACE_COLUMNS)}")
        rows = [_trace_row(row, line) for line, row in enumerate(reader, start=2)]
    if not rows:
        raise BadTrace(f"{path.name}: no requests in it")
    first = min(row.at for row in rows)
    return sorted((TraceRow(row.at - first, row.prompt, row.tokens) for row in rows), key=lambda row: row.at)


def _trace_row(row: dict[str, str], line: int) -> TraceRow:
    try:
        at = datetime.fromisoformat(row["TIMESTAMP"].strip()[:26]).timestamp()
        prompt, tokens = int(row["ContextTokens"]), int(row["GeneratedTokens"])
    except (ValueError, TypeError, AttributeError) as exc:
        raise BadTrace(f"line {line}: not a timestamp and two token counts") from exc
    if prompt < 0 or tokens < 0:
        raise BadTrace(f"line {line}: negative token count")
    return TraceRow(at, max(prompt, 1), max(tokens, 1))


@dataclass(frozen=True, slots=True)
class Spread:
    """How a trace is laid over nodes: `shares` rotate once through all nodes in `turns` turns over the trace.

    A trace has one front door, a market has many, each with its own rush hour; equal and unmoving shares would leave
    nothing to balance.
    """

    nodes: int
    shares: tuple[float, ...]
    turns: int


def zipf_spread(nodes: int, turns: int = 8) -> Spread:
    """Unequal providers (share 1/rank), whose ranks rotate."""
    weights = [1.0 / (rank + 1) for rank in range(nodes)]
    return Spread(nodes, tuple(weight / sum(weights) for weight in weights), turns)


def even_spread(nodes: int) -> Spread:
    """Everybody the same, always."""
    return Spread(nodes, tuple([1.0 / nodes] * nodes), 1)


def trace_arrivals(rows: Sequence[TraceRow], spread: Spread, load: float, seed: int) -> list[Arrival]:
    """Lay a trace over nodes. `load` > 1 presses it into less time; < 1 thins it randomly, so bursts stay bursts."""
    choose, thin = stream(seed, "sources"), stream(seed, "thinning")
    length = (rows[-1].at - rows[0].at) or 1.0
    nodes = range(spread.nodes)
    arrivals = []
    for row in rows:
        if load < 1.0 and thin.random() >= load:
            continue
        turn = int(spread.turns * (row.at - rows[0].at) / length)
        rank = choose.choices(nodes, spread.shares)[0]
        at = (row.at - rows[0].at) / max(load, 1.0)
        arrivals.append(Arrival(at, (rank + turn) % spread.nodes, row.prompt, row.tokens, _cap(row.tokens)))
    return arrivals


def _cap(tokens: int) -> int:
    """A trace has no max_tokens: clients ask round numbers well above what they get."""
    return max(2_048, 1 << (tokens - 1).bit_length())


def mean_gap(arrivals: Iterable[Arrival]) -> float:
    """Mean seconds between arrivals."""
    times = [arrival.at for arrival in arrivals]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return sum(gaps) / len(gaps) if gaps else 0.0


def lognormal_mean(median: float, sigma: float) -> float:
    """Mean of the uncut lognormal, for documentation and tests."""
    return median * exp(sigma * sigma / 2)
