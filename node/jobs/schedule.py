"""When services run: one timer a job, never two runs of one at once, missed runs made up for once. Jobs hold no state.

The outermost loop of background work: whatever a run raises is logged and counted, and the next run tries again.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from node.core.errors import Unavailable

log = logging.getLogger(__name__)

OnOutcome = Callable[[str, str], None]
"""Called with a job's name and "ok", "unavailable" or "failed": the metrics' counter."""


@dataclass(frozen=True, slots=True)
class Job:
    """Run `work` every `seconds`."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[object]]


def build_scheduler(jobs: Sequence[Job], on_outcome: OnOutcome) -> AsyncIOScheduler:
    """A scheduler with these jobs. `start` it inside a running event loop; `shutdown(wait=False)` ends it."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in jobs:
        scheduler.add_job(
            guarded(job, on_outcome),
            IntervalTrigger(seconds=job.seconds, timezone="UTC"),
            id=job.name,
            name=job.name,
            max_instances=1,  # a run that outlasts its interval must not be overtaken by the next
            coalesce=True,  # after a pause one run is enough: a job looks for whatever is due
            misfire_grace_time=None,  # late is better than never
        )
    return scheduler


def guarded(job: Job, on_outcome: OnOutcome) -> Callable[[], Awaitable[None]]:
    """The job as the scheduler runs it: nothing escapes, cancellation apart."""

    async def run() -> None:
        try:
            await job.work()
        except Unavailable as exc:
            log.warning("%s: %s", job.name, exc.message)
            on_outcome(job.name, "unavailable")
        except Exception:  # the outermost loop of background work
            log.exception("%s failed; the next run tries again", job.name)
            on_outcome(job.name, "failed")
        else:
            on_outcome(job.name, "ok")

    return run
