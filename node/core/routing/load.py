"""An engine's load as its own node knows it, every request in flight included (promised, queued, prefilling, decoding).

The node relays every stream, so it counts tokens itself and needs no metrics of the engine, which are late (the paper
polls them every 3 s and does not add its own work in between, which makes nodes herd).
"""

from dataclasses import dataclass
from typing import NamedTuple


class Job(NamedTuple):
    """A decoding answer: expected tokens to come, and LLM tokens in its KV cache now."""

    remaining: float
    context: int


class Queued(NamedTuple):
    """A request that the engine has not started: its prompt and the expected answer."""

    prompt: int
    expected: float


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What bounds a batch: KV room in LLM tokens, sequences, prompt tokens prefilled in one step."""

    kv_room: int
    max_sequences: int
    chunk: int


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Jobs sorted by `remaining`, ascending; the queue in order of arrival."""

    jobs: list[Job]
    queue: list[Queued]
    limits: EngineLimits

    @property
    def kv_tokens(self) -> int:
        """LLM tokens in the KV caches now."""
        return sum([context for _, context in self.jobs])  # a list: twice as fast as a generator here

    @property
    def usage(self) -> float:
        """Share of the KV room in use."""
        return self.kv_tokens / self.limits.kv_room

    @property
    def in_flight(self) -> int:
        """Requests decoding or queued."""
        return len(self.jobs) + len(self.queue)


GATE_HEADROOM = 1.25
"""The gate may plan for this share of the KV room: giving up a cache and prefilling it again costs far less than an
idle place in the batch, so a little over is right. Fitted on the training seeds (docs/simulator.md)."""


def has_room(load: EngineLoad, prompt: int, expected: float) -> bool:
    """Whether one more request fits without a preemption later, as far as expectations tell.

    An engine admits on the prompt alone and throws work away when the answers outgrow its memory; so the gate looks at
    the highest KV use yet to come if everybody ends as expected.
    """
    if load.in_flight >= load.limits.max_sequences:
        return False
    others = [*load.jobs, *(Job(later, waiting) for waiting, later in load.queue), Job(expected, prompt)]
    return peak_tokens(others) <= load.limits.kv_room * GATE_HEADROOM


def peak_tokens(jobs: list[Job]) -> float:
    """The highest KV use over time: just before each end, all that have not ended have grown by the same steps."""
    peak = held = 0.0
    for alive, (remaining, context) in enumerate(sorted(jobs, reverse=True), start=1):
        held += context
        then = held + alive * remaining
        peak = then if then > peak else peak  # noqa: FURB136  # max() here: a twentieth of a bid
    return peak
