"""From measurements to one number per target: must, aim, what was reached. Ratios are within one run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tests.bench.measure import Sample

Samples = Mapping[str, Mapping[str, Sample]]
"""Gateway -> scenario -> sample; "direct" is the engine without a gateway."""


@dataclass(frozen=True)
class Target:
    """One row. `reached` None = not measured, see `note`."""

    name: str
    unit: str
    must: str
    aim: str
    reached: float | None
    is_met: bool | None
    note: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def _ratio(samples: Samples, scenario: str, member: str, peer: str) -> float | None:
    ours, theirs = samples.get("wwwserve", {}).get(scenario), samples.get(peer, {}).get(scenario)
    if ours is None or theirs is None or not getattr(theirs, member):
        return None
    return float(getattr(ours, member) / getattr(theirs, member))


def _bounded(
    name: str, unit: str, limits: tuple[str, str], reached: float | None, must: float, *, least: bool = False
) -> Target:
    is_met = None if reached is None else (reached >= must if least else reached <= must)
    note = "" if reached is not None else "a gateway of the comparison could not be had"
    return Target(name, unit, *limits, None if reached is None else round(reached, 4), is_met, note)


def targets(samples: Samples, parts: Mapping[str, float]) -> list[Target]:
    """Every row of the performance page, in its order."""
    added = samples["wwwserve"]["rate200"].latency_p50 - samples["direct"]["rate200"].latency_p50
    added1 = samples["wwwserve"]["plain1"].latency_p50 - samples["direct"]["plain1"].latency_p50
    added32 = samples["wwwserve"]["plain32"].latency_p50 - samples["direct"]["plain32"].latency_p50
    first = samples["wwwserve"]["stream_rate"].first_byte_p50 - samples["direct"]["stream_rate"].first_byte_p50
    cpu = ("plain128", "cpu_per_request")
    return [
        _bounded(
            "paid plain CPU / LiteLLM's unpaid", "ratio", ("<= 1/40", ""), _ratio(samples, *cpu, "litellm"), 1 / 40
        ),
        _bounded(
            "paid plain CPU / vllm-router's unpaid", "ratio", ("<= 4", ""), _ratio(samples, *cpu, "vllm-router"), 4
        ),
        _bounded(
            "paid plain CPU / sglang-router's unpaid", "ratio", ("", "<= 2"), _ratio(samples, *cpu, "sglang-router"), 2
        ),
        _bounded("paid plain CPU", "us a request", ("", ""), samples["wwwserve"]["plain128"].cpu_per_request, 1e9),
        _bounded(
            "paid stream CPU an event / vllm-router's",
            "ratio",
            ("<= 1", ""),
            _ratio(samples, "stream32", "cpu_per_event", "vllm-router"),
            1,
        ),
        _bounded(
            "paid stream CPU an event / nginx's",
            "ratio",
            ("", "<= 1.5"),
            _ratio(samples, "stream32", "cpu_per_event", "nginx"),
            1.5,
        ),
        _bounded(
            "paid streams a second / vllm-router's",
            "ratio",
            (">= 1", ""),
            _ratio(samples, "stream32", "per_second", "vllm-router"),
            1,
            least=True,
        ),
        _bounded(
            "paid streams a second / nginx's",
            "ratio",
            ("", ">= 0.9"),
            _ratio(samples, "stream32", "per_second", "nginx"),
            0.9,
            least=True,
        ),
        _bounded("added p50 at 200 requests/s", "ms", ("<= 1.5", "<= 0.8"), added / 1e3, 1.5),
        _bounded("added p50, 1 at a time", "ms", ("", ""), added1 / 1e3, 1e9),
        _bounded("added p50, 32 at a time", "ms", ("", ""), added32 / 1e3, 1e9),
        _bounded("added first byte of a paid stream", "ms", ("<= 1.2", "<= 0.6"), first / 1e3, 1.2),
        _bounded("durable charges a second", "1/s", (">= 15000", ">= 35000"), parts["charges"], 15_000, least=True),
        _bounded("voucher verification", "us", ("<= 100", "<= 45"), parts["voucher"], 100),
        _bounded(
            "memory, 1000 open streams", "MB", ("<= 300", "<= 150"), samples["wwwserve"]["stream1000"].memory, 300
        ),
        _bounded("start to ready, engine up", "s", ("<= 2", "<= 1"), parts["ready"], 2),
        Target(
            "gas per settled lane, 50-row batch",
            "gas",
            "<= 30000",
            "<= 25000",
            None,
            None,
            "see the gas table: make contracts",
        ),
        Target("one hop of offload, added first token", "ms", "<= 3", "<= 1.5", None, None, "offload is not built yet"),
    ]
