"""An experiment as a value: nodes, workload, network, churn. The named settings of the paper and ours."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from node.core.routing.config import ProviderConfig
from node.sim.network import NetworkSpec
from node.sim.profiles import EngineProfile, build_profile
from node.sim.workload import REASONING, Arrival, Lengths, Phase, poisson_arrivals

REASONING_SLO = tuple(float(threshold) for threshold in range(200, 401, 25))


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One provider: its engine, stake, what it changes of the default settings, and how it lies.

    `claims_faster` > 1 divides the seconds it promises in bids (a liar about load); 1 is honest. `fixed_stake` stops
    the paper's automatic adjustment; `credits` is what the node owns under the paper's rule at the start (unpublished;
    the stake takes at most four of them). `no_engine`: it has users and serves nothing itself.
    """

    engine: EngineProfile
    stake: int = 100
    config: ProviderConfig | None = None
    claims_faster: float = 1.0
    joins_at: float = 0.0
    leaves_at: float = float("inf")
    fixed_stake: bool = False
    no_engine: bool = False
    credits: int = 100
    dies_at: float = float("inf")


@dataclass(frozen=True, slots=True)
class DuelLoad:
    """The work duels add: a share of offloads is copied to a second executor, `judges` nodes read both answers.

    Each judge is asked twice (both orders) for a verdict of `verdict_tokens`.
    """

    share: float
    judges: int = 5
    verdict_tokens: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that defines a run but the system and the seed.

    With a `deadline` (seconds after arrival) nodes may refuse early what they would finish late. With `hedge_after`, an
    offload whose first token is later than so many times its promise gets a second copy; the first to speak goes on.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    arrivals: Callable[[int], list[Arrival]]
    network: NetworkSpec = field(default_factory=NetworkSpec)
    thresholds: tuple[float, ...] = REASONING_SLO
    deadline: float | None = None
    hedge_after: float | None = None
    duels: DuelLoad | None = None


def _quiet(*phases: tuple[float, float]) -> list[Phase]:
    return [Phase(until, rate) for until, rate in phases]


END = 750.0
S1_SCHEDULE = (
    _quiet((300, 1 / 4), (END, 1 / 20)),
    _quiet((END, 1 / 20)),
    _quiet((END, 1 / 20)),
    _quiet((450, 1 / 20), (END, 1 / 4)),
)
S2_SCHEDULE = (_quiet((300, 0.34), (END, 1 / 20)), _quiet((450, 1 / 20), (END, 1 / 6)))
S3_SCHEDULE = (
    _quiet((300, 1 / 2), (END, 1 / 6)),
    _quiet((END, 1 / 15)),
    _quiet((END, 1 / 30)),
    _quiet((450, 1 / 15), (END, 1 / 5)),
)
S4_SCHEDULE = (
    _quiet((300, 1 / 3), (END, 1 / 20)),
    _quiet((END, 1 / 20)),
    _quiet((450, 1 / 30), (END, 1 / 6)),
    _quiet((END, 1 / 30)),
    _quiet((END, 1 / 20)),
    _quiet((300, 1 / 6), (END, 1 / 30)),
    _quiet((450, 1 / 20), (END, 1 / 4)),
    _quiet((END, 1 / 40)),
)
S4_ENGINES = (
    ("L40S", "Qwen3-8B"),
    ("RTX 6000 Ada", "Qwen3-8B"),
    ("RTX 4090", "Qwen3-4B"),
    ("RTX 3090", "Qwen3-4B"),
    ("L40S", "Llama-3.1-8B"),
    ("RTX 6000 Ada", "Llama-3.1-8B"),
    ("L40S", "Qwen3-4B"),
    ("RTX 3090", "Qwen3-4B"),
)


def paper_scenario(name: str, lengths: Lengths = REASONING) -> Scenario:
    """S1 to S4. In S2 to S4 every request accepts every model, as in the paper."""
    engines, schedule = {
        "S1": ((("RTX 6000 Ada", "Qwen3-8B"),) * 4, S1_SCHEDULE),
        "S2": ((("RTX 6000 Ada", "Qwen3-8B"), ("RTX 3090", "Qwen3-4B")), S2_SCHEDULE),
        "S3": (
            (
                ("4xA100", "Qwen3-32B"),
                ("L40S", "Qwen3-8B"),
                ("RTX 3090", "DeepSeek-R1-Distill-7B"),
                ("RTX 6000 Ada", "Llama-3.1-8B"),
            ),
            S3_SCHEDULE,
        ),
        "S4": (S4_ENGINES, S4_SCHEDULE),
    }[name]
    nodes = tuple(NodeSpec(build_profile(gpu, model)) for gpu, model in engines)
    return Scenario(name, nodes, partial(poisson_arrivals, schedule, lengths))
