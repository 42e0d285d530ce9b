"""The simulated network: one-way delays, lost messages, partitions. Decides whether and when a message arrives."""

from dataclasses import dataclass
from math import hypot
from random import Random

LAN_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Partition:
    """Between `start` and `end`, nodes of `island` and all others do not hear each other."""

    start: float
    end: float
    island: frozenset[int]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A base delay, the extra delay between far places, loss, partitions.

    Far places: a square world `spread_seconds` wide, or a `matrix` of one-way seconds between regions (node i lives in
    region i modulo their number), which then is the whole delay.
    """

    base_seconds: float = LAN_SECONDS
    spread_seconds: float = 0.0
    loss: float = 0.0
    clock_skew_seconds: float = 0.0
    partitions: tuple[Partition, ...] = ()
    matrix: tuple[tuple[float, ...], ...] = ()


class Network:
    """Delays are fixed by the specification and the seed; losses are thrown per message."""

    __slots__ = ("_dice", "_places", "_spec", "messages", "skews")

    def __init__(self, spec: NetworkSpec, nodes: int, dice: Random) -> None:
        self._spec, self._dice = spec, dice
        self._places = [(dice.random(), dice.random()) for _ in range(nodes)]
        self.skews = [dice.uniform(-1.0, 1.0) * spec.clock_skew_seconds for _ in range(nodes)]
        self.messages = 0

    def seconds(self, a: int, b: int) -> float:
        """One-way delay."""
        if a == b:
            return 0.0
        if matrix := self._spec.matrix:
            return matrix[a % len(matrix)][b % len(matrix)]
        if self._spec.spread_seconds == 0.0:
            return self._spec.base_seconds
        (ax, ay), (bx, by) = self._places[a], self._places[b]
        return self._spec.base_seconds + self._spec.spread_seconds * hypot(ax - bx, ay - by)

    def delivers(self, a: int, b: int, now: float) -> bool:
        """Whether a message sent now arrives. Counts it either way."""
        self.messages += 1
        if self._spec.loss and a != b and self._dice.random() < self._spec.loss:
            return False
        return self.connected(a, b, now)

    def connected(self, a: int, b: int, now: float) -> bool:
        """Whether no partition lies between the two now."""
        return not any(
            part.start <= now < part.end and (a in part.island) != (b in part.island) for part in self._spec.partitions
        )
