"""Several systems on the same seeds: runs them (in parallel, resumably), and lines up the figures with intervals."""

import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from inspect import getsourcefile
from pathlib import Path
from typing import Any, TypeVar

from node.core.routing.config import ProviderConfig
from node.sim.backends import Workers
from node.sim.record import Summary
from node.sim.run import run
from node.sim.scenario import Scenario
from node.sim.stats import Interval, interval

CODE_PARTS = (
    "core/hashing.py", "core/routing/*.py", "core/stake.py", "sim/engine.py", "sim/kernel.py", "sim/network.py",
    "sim/profiles.py", "sim/record.py", "sim/run.py", "sim/scenario.py", "sim/systems/*.py", "sim/workload.py",
    "sim/world.py",
)  # fmt: skip
"""All that a run's figures depend on: a change of one of them makes every kept result stale."""
Item = TypeVar("Item")
PLAIN = tuple(field.name for field in fields(Summary) if field.name != "slo")


@dataclass(frozen=True, slots=True)
class Job:
    """One run to do. `label` names the variant when the same system runs with several settings."""

    scenario: Scenario
    system: str
    seed: int
    config: ProviderConfig | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job's figures."""

    scenario: str
    system: str
    seed: int
    summary: Summary
    latencies: tuple[float, ...]
    failovers: tuple[float, ...]


def run_job(job: Job) -> Done:
    """Run one; the raw latencies come along for curves."""
    result = run(job.scenario, job.system, job.seed, job.config)
    recorder = result.recorder
    name = job.label or job.system
    latencies, failovers = tuple(sorted(recorder.latency)), tuple(recorder.failovers)
    return Done(job.scenario.name, name, job.seed, result.summary, latencies, failovers)


def run_all(jobs: Iterable[Job], workers: Workers, store: Path | None = None) -> Iterator[Done]:
    """Run jobs, in order. With a store, finished ones are read back instead of run again."""
    todo = list(jobs)
    keys = [job_key(job) for job in todo] if store else [""] * len(todo)
    for saved in _resumed(run_job_plain, todo, keys, (workers, store)):
        yield _done(saved)


def run_job_plain(job: Job) -> dict[str, Any]:
    """`run_job` as plain JSON."""
    return asdict(run_job(job))


def run_tasks(
    work: Callable[[Item], Any], items: Sequence[Item], workers: Workers, store: Path | None = None
) -> Iterator[Any]:
    """Any picklable function on picklable items, in order, kept and read back like jobs. It must return plain JSON."""
    keys = [task_key(work, item) for item in items] if store else [""] * len(items)
    yield from _resumed(work, items, keys, (workers, store))


def _resumed(
    work: Callable[[Item], Any], items: Sequence[Item], keys: Sequence[str], how: tuple[Workers, Path | None]
) -> Iterator[Any]:
    workers, store = how
    known = {key: _load(store, key) for key in keys} if store else {}
    missing = [item for key, item in zip(keys, items, strict=True) if known.get(key) is None]
    fresh = workers.map(work, missing) if missing else iter(())
    for key in keys:
        found = known.get(key)
        if found is None:
            found = next(fresh)
            if store:
                _save(store, key, found)
        yield found


@cache
def code_digest() -> str:
    """A digest of all code that a run depends on: another version never reads an older one's results."""
    root = Path(__file__).resolve().parent.parent
    paths = sorted(path for part in CODE_PARTS for path in root.glob(part))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def job_key(job: Job, *, digest: Callable[[], str] = code_digest) -> str:
    """A name for the job's result in the store."""
    scenario = pickle.dumps((job.scenario, job.system, job.seed, job.config, job.label))
    return hashlib.sha256(digest().encode() + scenario).hexdigest()[:32]


def task_key(work: Callable[[Item], Any], item: Item) -> str:
    """A name for one task's result: the code of the module that defines it counts too."""
    source = Path(getsourcefile(work) or __file__).read_bytes()
    named = pickle.dumps((work.__module__, work.__qualname__, item))
    return hashlib.sha256(code_digest().encode() + hashlib.sha256(source).digest() + named).hexdigest()[:32]


def _load(store: Path, key: str) -> Any:  # noqa: ANN401  # JSON
    path = store / f"{key}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _done(saved: dict[str, Any]) -> Done:
    saved = dict(saved)
    saved["summary"] = Summary(**saved["summary"])
    saved["latencies"], saved["failovers"] = tuple(saved["latencies"]), tuple(saved["failovers"])
    return Done(**saved)


def _save(store: Path, key: str, found: object) -> None:
    store.mkdir(parents=True, exist_ok=True)
    partial = store / f"{key}.part"
    partial.write_text(json.dumps(found))
    partial.replace(store / f"{key}.json")


def by_system(results: Iterable[Done]) -> dict[str, list[Done]]:
    """Results grouped by system, in order of seeds."""
    groups: dict[str, list[Done]] = {}
    for done in results:
        groups.setdefault(done.system, []).append(done)
    return groups


def figure_of(results: Iterable[Done], pick: Callable[[Summary], float]) -> Interval:
    """One figure over the seeds."""
    return interval([pick(done.summary) for done in results])


def as_json(groups: Mapping[str, list[Done]]) -> dict[str, object]:
    """The documented shape: per system each figure's mean over seeds, `slo` by threshold, and `ci95` half-widths."""
    return {"systems": {name: _system_json(results) for name, results in groups.items()}}


def _system_json(results: list[Done]) -> dict[str, object]:
    figures = {name: interval([getattr(done.summary, name) for done in results]) for name in PLAIN}
    slo = {
        threshold: interval([done.summary.slo[threshold] for done in results]) for threshold in results[0].summary.slo
    }
    body: dict[str, object] = {name: figure.mean for name, figure in figures.items()}
    body["messages"] = figures["messages_per_request"].mean * figures["requests"].mean
    body["slo"] = {threshold: share.mean for threshold, share in slo.items()}
    body["ci95"] = {name: figure.half for name, figure in figures.items()}
    body["slo_ci95"] = {threshold: share.half for threshold, share in slo.items()}
    body["seeds"] = [done.seed for done in results]
    return body
