"""jobs.schedule: runs never overlap, nothing escapes a run, and the outcome is counted."""

import asyncio

from node.core.errors import Broken, ChainUnavailable
from node.jobs.schedule import Job, build_scheduler, guarded


async def outcome_of(error: Exception | None) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []

    async def work() -> None:
        if error is not None:
            raise error

    await guarded(Job("j", 1, work), lambda name, outcome: seen.append((name, outcome)))()
    return seen


async def test_guarded__each_kind_of_end__is_counted_and_never_escapes() -> None:
    assert await outcome_of(None) == [("j", "ok")]
    assert await outcome_of(ChainUnavailable("down")) == [("j", "unavailable")]
    assert await outcome_of(Broken("bad")) == [("j", "failed")]
    assert await outcome_of(ZeroDivisionError("bug")) == [("j", "failed")]


async def test_build_scheduler__run_longer_than_its_interval__is_not_overtaken() -> None:
    running, most, runs = 0, 0, 0

    async def work() -> None:
        nonlocal running, most, runs
        running += 1
        most, runs = max(most, running), runs + 1
        await asyncio.sleep(0.12)
        running -= 1

    scheduler = build_scheduler([Job("slow", 0.03, work)], lambda _name, _outcome: None)
    scheduler.start()
    await asyncio.sleep(0.5)
    scheduler.shutdown(wait=False)
    assert most == 1
    assert runs >= 2


def test_build_scheduler__every_job__coalesces_and_runs_once_at_a_time() -> None:
    async def work() -> None: ...

    scheduler = build_scheduler([Job("a", 1, work), Job("b", 2, work)], lambda _name, _outcome: None)
    assert all(job.max_instances == 1 and job.coalesce for job in scheduler.get_jobs())
