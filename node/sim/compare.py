"""Several systems on the same seeds: runs them (in parallel, resumably), and lines up the figures with intervals."""

import hashlib
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from node.core.routing.config import ProviderConfig
from node.sim.record import Summary
from node.sim.run import run
from node.sim.scenario import Scenario
from node.sim.stats import Interval, interval

CODE_PARTS = ("core/routing/*.py", "core/stake.py", "sim/*.py", "sim/systems/*.py")
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


def run_all(jobs: Iterable[Job], workers: int, store: Path | None = None) -> Iterator[Done]:
    """Run jobs on `workers` processes, in order. With a store, finished ones are read back instead of run again."""
    todo = list(jobs)
    keys = [job_key(job) for job in todo]
    known = {key: _load(store, key) for key in keys} if store else {}
    missing = [(key, job) for key, job in zip(keys, todo, strict=True) if known.get(key) is None]
    fresh = _run_missing([job for _, job in missing], workers)
    for key in keys:
        done = known.get(key)
        if done is None:
            done = next(fresh)
            if store:
                _save(store, key, done)
        yield done


def _run_missing(jobs: list[Job], workers: int) -> Iterator[Done]:
    if workers <= 1:
        yield from map(run_job, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(run_job, jobs)


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


def _load(store: Path, key: str) -> Done | None:
    path = store / f"{key}.json"
    if not path.exists():
        return None
    saved = json.loads(path.read_text())
    saved["summary"] = Summary(**saved["summary"])
    saved["latencies"], saved["failovers"] = tuple(saved["latencies"]), tuple(saved["failovers"])
    return Done(**saved)


def _save(store: Path, key: str, done: Done) -> None:
    store.mkdir(parents=True, exist_ok=True)
    partial = store / f"{key}.part"
    partial.write_text(json.dumps(asdict(done)))
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
