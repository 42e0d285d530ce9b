"""What an engine's own metrics page says of its load, whichever engine it is. Pure text in, numbers out.

vLLM and SGLang name their gauges differently, and vLLM renamed one; the names stand here, once. A page without them (or
no page) is None: such an engine is measured from outside alone (services/routing_meter).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's names. Several for one gauge: of different versions."""

    running: str
    waiting: str
    kv_usage: tuple[str, ...]


DIALECTS = (
    Dialect("vllm:num_requests_running", "vllm:num_requests_waiting", ("kv_cache_usage_perc", "gpu_cache_usage_perc")),
    Dialect("sglang:num_running_reqs", "sglang:num_queue_reqs", ("token_usage",)),
)
LONGEST_PAGE = 1 << 20
"""Bytes of a page that are read: a busy vLLM's is about 60 KB."""
_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)")
_RANK = re.compile(r'(?:tp_rank|pp_rank|moe_ep_rank)="(\d+)"')


@dataclass(frozen=True, slots=True)
class EngineReport:
    """Requests in the batch and before it, of everybody who uses the engine; and the share of its KV cache in use."""

    running: int
    waiting: int
    kv_usage: float | None = None


def read_report(page: str) -> EngineReport | None:
    """The report of a Prometheus page; None when it has no gauges that we know."""
    gauges = {name: values for name, values in _gauges(page).items() if values}
    for one in DIALECTS:
        if one.running not in gauges:
            continue
        prefix = one.running.partition(":")[0]
        usage = next((gauges[f"{prefix}:{name}"] for name in one.kv_usage if f"{prefix}:{name}" in gauges), None)
        return EngineReport(
            running=int(sum(gauges[one.running])),
            waiting=int(sum(gauges.get(one.waiting, ()))),
            kv_usage=None if usage is None else min(max(usage), 1.0),
        )
    return None


def _gauges(page: str) -> dict[str, list[float]]:
    """Values by name: one of each replica (data parallel), none of the further ranks of one model (tensor parallel)."""
    found: dict[str, list[float]] = {}
    for name, labels, value in _lines(page):
        if value >= 0 and not any(int(rank) for rank in _RANK.findall(labels)):
            found.setdefault(name, []).append(value)
    return found


def _lines(page: str) -> Iterator[tuple[str, str, float]]:
    for line in page[:LONGEST_PAGE].splitlines():
        match = None if line.startswith("#") else _LINE.match(line)
        if match is None or not match[1].startswith(("vllm:", "sglang:")):
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        if value < 1e12:  # NaN and infinity are no load
            yield match[1], match[2] or "", value
