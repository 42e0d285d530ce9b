"""From measurements to one number per target: must, aim, what was reached. Ratios are within one run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tests.bench.measure import Sample

Samples = Mapping[str, Mapping[str, Sample]]
"""Gateway -> scenario -> sample; "direct" is the engine without a gateway."""
PLAIN, STREAM = ("plain128", "cpu_per_request"), ("stream32", "cpu_per_event")


@dataclass(frozen=True)
class Target:
    """One row. `must` and `aim` None = none was set; `reached` None = not measured, and `note` says why."""

    name: str
    unit: str
    must: float | None
    aim: float | None
    reached: float | None
    more_is_better: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Against `must`, or against `aim` where only that was set."""
        limit = self.aim if self.must is None else self.must
        if self.reached is None or limit is None:
            return None
        return self.reached >= limit if self.more_is_better else self.reached <= limit

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "is_met": self.is_met}


def _ratio(samples: Samples, measure: tuple[str, str], peer: str) -> float | None:
    scenario, member = measure
    ours, theirs = samples.get("wwwserve", {}).get(scenario), samples.get(peer, {}).get(scenario)
    if ours is None or theirs is None or not getattr(theirs, member):
        return None
    return round(float(getattr(ours, member) / getattr(theirs, member)), 4)


def _added_ms(samples: Samples, scenario: str, member: str) -> float:
    ours, direct = samples["wwwserve"][scenario], samples["direct"][scenario]
    return round((getattr(ours, member) - getattr(direct, member)) / 1e3, 3)


def targets(samples: Samples, parts: Mapping[str, float]) -> list[Target]:
    """Every row of the performance page, in its order; then the two plain latencies that are only told."""
    ours = samples["wwwserve"]
    rate = ("stream32", "per_second")
    p50, first = "latency_p50", "first_byte_p50"
    gas, hop = "from make gas: docs/figures/gas.json", "from make bench-hop: docs/figures/hop.json"
    return [
        Target("paid plain CPU / LiteLLM, unpaid", "ratio", 1 / 40, None, _ratio(samples, PLAIN, "litellm")),
        Target("paid plain CPU / vllm-router, unpaid", "ratio", 4, None, _ratio(samples, PLAIN, "vllm-router")),
        Target("paid plain CPU / sglang-router, unpaid", "ratio", None, 2, _ratio(samples, PLAIN, "sglang-router")),
        Target("paid plain CPU", "us", None, None, round(ours["plain128"].cpu_per_request, 1)),
        Target("paid stream CPU an event / vllm-router", "ratio", 1, None, _ratio(samples, STREAM, "vllm-router")),
        Target("paid stream CPU an event / nginx", "ratio", None, 1.5, _ratio(samples, STREAM, "nginx")),
        Target("paid streams a second / vllm-router", "ratio", 1, None, _ratio(samples, rate, "vllm-router"), True),
        Target("paid streams a second / nginx", "ratio", None, 0.9, _ratio(samples, rate, "nginx"), True),
        Target("added p50 at 200 requests/s", "ms", 1.5, 0.8, _added_ms(samples, "rate200", p50)),
        Target("added first byte of a paid stream", "ms", 1.2, 0.6, _added_ms(samples, "stream_rate", first)),
        Target("durable charges a second", "1/s", 15_000, 35_000, parts["charges"], True),
        Target("one fdatasync of this disk", "us", None, None, round(parts["sync"], 1)),
        Target("voucher verification", "us", 100, 45, round(parts["voucher"], 1)),
        Target("memory, 1,000 open streams", "MB", 300, 150, round(ours["stream1000"].memory, 1)),
        Target("start to ready, engine up", "s", 2, 1, round(parts["ready"], 2)),
        Target("gas per settled lane, 50-row batch", "gas", 30_000, 25_000, parts.get("gas"), note=gas),
        Target("one hop of offload, added first token", "ms", 3, 1.5, parts.get("hop"), note=hop),
        Target("added p50, 1 at a time", "ms", None, None, _added_ms(samples, "plain1", p50)),
        Target("added p50, 32 at a time", "ms", None, None, _added_ms(samples, "plain32", p50)),
    ]
