"""Load as engines tell it: pages of vLLM (two versions), SGLang, an unknown engine; and what routing makes of it."""

from pathlib import Path
from typing import Any

import pytest

from node.core.engine_metrics import EngineReport, read_report
from node.core.errors import EngineFailed
from node.core.routing.lengths import LengthModel
from node.core.routing.load import EngineLimits
from node.services.backends import Backend, Backends
from node.services.engine_watch import EngineWatch
from node.services.routing_meter import REPORT_SECONDS, Meters

pytestmark = pytest.mark.unit

PAGES = Path(__file__).parent / "metric_pages"
LIMITS = EngineLimits(100_000, 8, 2_048)
BUSY = 'vllm:num_requests_running{engine="0"} 6.0\nvllm:num_requests_waiting{engine="0"} 2.0\n'


@pytest.mark.parametrize(
    ("page", "report"),
    [
        ("vllm-0.32", EngineReport(3, 2, 0.25)),
        ("vllm-0.6-two-replicas", EngineReport(5, 6, 0.9)),
        ("sglang-tp2", EngineReport(16, 7, 0.28)),
        ("other-engine", None),
    ],
)
def test_read_report__recorded_page__is_understood(page: str, report: EngineReport | None) -> None:
    assert read_report((PAGES / f"{page}.txt").read_text()) == report


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html>404</html>",
        "vllm:num_requests_running NaN",
        "vllm:num_requests_running -1",
        "sglang:num_running_reqs x",
    ],
)
def test_read_report__no_or_broken_numbers__is_none(page: str) -> None:
    assert read_report(page) is None


def test_read_report__gauge_without_labels_and_usage_above_one__is_read_and_capped() -> None:
    assert read_report("sglang:num_running_reqs 2\nsglang:token_usage 1.7") == EngineReport(2, 0, 1.0)


class Clock:
    at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Gauge:
    """An engine with a page, or one that fails to show it."""

    def __init__(self, page: str | None) -> None:
        self.page = page

    def open(self, path: str, body: bytes) -> Any:
        raise NotImplementedError

    async def is_healthy(self) -> bool:
        return True

    async def metrics_page(self) -> str:
        if self.page is None:
            raise EngineFailed("gone")
        return self.page


class Mute:
    """An engine of which nothing but answers can be had."""

    def open(self, path: str, body: bytes) -> Any:
        raise NotImplementedError

    async def is_healthy(self) -> bool:
        return True


def watching(*engines: Any) -> tuple[EngineWatch, Clock, list[Backend]]:
    clock, backends = Clock(), [Backend(engine, "m") for engine in engines]
    return EngineWatch(Backends({"m": backends, "n": backends[:1]}, clock), Meters(LIMITS), clock), clock, backends


async def test_look__others_use_the_engine__their_load_counts_until_the_report_is_old() -> None:
    watch, clock, (one,) = watching(Gauge(BUSY))
    meter, lengths = watch.meters.of(one), LengthModel()
    meter.begin(100, 50, clock.at)
    await watch.look()
    load = meter.load(lengths, clock.at)
    assert load.in_flight == 8, "six running and two waiting, one of them ours"
    clock.at += REPORT_SECONDS + 0.1
    assert meter.load(lengths, clock.at).in_flight == 1


async def test_look__all_of_the_load_is_ours__nothing_is_counted_twice() -> None:
    watch, clock, (one,) = watching(Gauge(BUSY))
    for _ in range(8):
        watch.meters.of(one).begin(100, 50, clock.at)
    await watch.look()
    assert watch.meters.of(one).load(LengthModel(), clock.at).in_flight == 8


async def test_look__several_engines_one_busy_one_mute_one_gone__the_free_one_is_chosen() -> None:
    watch, clock, backends = watching(Gauge(BUSY), Mute(), Gauge(None))
    await watch.look()
    chosen, here = watch.meters.best(backends[:2], 100, 50, clock.at)
    assert (chosen, here.in_flight, here.has_slot) == (backends[1], 0, True)
    busy, there = watch.meters.best(backends[:1], 100, 50, clock.at)
    assert (busy, there.in_flight, there.has_slot) == (backends[0], 8, False)
    assert watch.meters.of(backends[2]).load(LengthModel(), clock.at).in_flight == 0


async def test_look__kv_cache_is_full_of_others_tokens__is_seen_as_usage() -> None:
    watch, clock, (one,) = watching(Gauge("sglang:num_running_reqs 2\nsglang:token_usage 0.8\n"))
    await watch.look()
    assert watch.meters.of(one).load(LengthModel(), clock.at).usage == pytest.approx(0.8, abs=0.01)
