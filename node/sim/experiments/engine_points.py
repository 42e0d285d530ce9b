"""Published measurements of real vLLM that nothing here was fitted to, and the same load on the simulated engine.

Sources: sweep of Mistral-7B on an RTX 4090, mushfiqrahman.dev/?p=1668 (about 100 tokens an answer); Llama-3.1-8B on an
A100 40GB, johnmusgrave.com/p/vllm-throughput-latency-sweep-on; on an H100, yobitelcomm.github.io/bench; Qwen3-8B on an
RTX 4090, github.com/AlexsJones/llmfit, pull request 1046. Prompts of the last two are not told: 64 tokens are taken.
"""

from dataclasses import dataclass

from node.sim.engine import Engine, Work
from node.sim.experiments.base import Table
from node.sim.kernel import Kernel
from node.sim.profiles import EngineProfile, build_profile
from node.sim.record import mean_of


@dataclass(frozen=True, slots=True)
class Told:
    """A published point: a closed loop of `streams`, and what was measured (None: not told)."""

    gpu: str
    model: str
    streams: int
    prompt: int
    tokens: int
    per_second: float | None = None
    first_ms: float | None = None
    step_ms: float | None = None


TOLD = (
    *(
        Told("RTX 4090", "Mistral-7B", streams, 256, 100, per_second, first)
        for streams, per_second, first in ((4, 210, 63), (8, 377, 79), (16, 644, 155), (32, 975, 362), (48, 1190, 667))
    ),
    Told("RTX 4090", "Qwen3-8B", 1, 64, 300, per_second=58.7),
    Told("A100 40GB", "Llama-3.1-8B", 1, 1024, 128, step_ms=1e3 / 75),
    Told("H100", "Llama-3.1-8B", 1, 64, 128, step_ms=6.48),
    Told("H100", "Llama-3.1-8B", 4, 64, 128, step_ms=6.59),
)
REQUESTS = 300


@dataclass(frozen=True, slots=True)
class Loop:
    """A closed loop's answer tokens per second, mean first token and mean step after it, both in milliseconds."""

    per_second: float
    first_ms: float
    step_ms: float


class _Clients:
    """Each sends its next request when the last is answered, as vLLM's own benchmark does."""

    def __init__(self, profile: EngineProfile, told: Told) -> None:
        self.kernel, self.told, self.sent = Kernel(), told, 0
        self.engine = Engine(self.kernel, profile, self)
        self.sent_at: dict[object, float] = {}
        self.first_at: dict[object, float] = {}
        self.done_at: dict[object, float] = {}
        for _ in range(told.streams):
            self._send()
        self.kernel.run()

    def _send(self) -> None:
        if self.sent < REQUESTS:
            self.sent_at[self.sent] = self.kernel.now
            self.engine.submit(Work(self.sent, self.told.prompt, self.told.tokens))
            self.sent += 1

    def on_first_token(self, work: Work) -> None:
        """Note it."""
        self.first_at[work.key] = self.kernel.now

    def on_done(self, work: Work) -> None:
        """Note it, and ask for the next."""
        self.done_at[work.key] = self.kernel.now
        self._send()

    def on_room(self) -> None:
        """Not of interest."""

    def on_steps(self, step_seconds: float, sequences: int, kv_tokens: float) -> None:
        """Not of interest."""


def closed_loop(told: Told) -> Loop:
    """The same load on the simulated engine."""
    clients = _Clients(build_profile(told.gpu, told.model), told)
    first = mean_of([at - clients.sent_at[key] for key, at in clients.first_at.items()])
    decode = mean_of([clients.done_at[key] - at for key, at in clients.first_at.items()])
    return Loop(REQUESTS * told.tokens / clients.kernel.now, first * 1e3, decode / (told.tokens - 1) * 1e3)


def told_table() -> Table:
    """Measured and simulated, a row a figure."""
    rows = []
    for told in TOLD:
        found = closed_loop(told)
        for name, measured, simulated in (
            ("answer tokens/s", told.per_second, found.per_second),
            ("first token, ms", told.first_ms, found.first_ms),
            ("step, ms", told.step_ms, found.step_ms),
        ):
            if measured is not None:
                cells = (f"{measured:,.1f}", f"{simulated:,.1f}", f"{simulated / measured - 1:+.0%}")
                rows.append((f"{told.gpu} / {told.model}", f"{told.streams}", name, *cells))
    heading = ("published vLLM", "streams", "figure", "measured", "simulated", "difference")
    return Table(heading, tuple(rows))
