"""What every experiment shares: options, how to run variants on common seeds, and the section it contributes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from node.core.routing.config import ProviderConfig
from node.sim.backends import Workers
from node.sim.compare import Done, Job, by_system, run_all, run_tasks
from node.sim.scenario import Scenario
from node.sim.stats import Interval

Item = TypeVar("Item")
Watch = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How large a reproduction is. Test seeds are 1, 2, ...; training seeds are 1000, 1001, ... and never used here."""

    seeds: int
    workers: Workers
    store: Path | None
    out: Path
    trace: Path | None
    quick: bool
    watch: Watch
    commit: str = "an unnamed commit"

    def scaled(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a heading row."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure: file name (without directory), caption."""

    name: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """One experiment's contribution to the report. `numbers` become JSON beside the figures.

    `seeds` is how many it used (0: the sums are exact), `made` what else made it, for the reader.
    """

    slug: str
    title: str
    answers: str
    text: str
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    numbers: dict[str, object] = field(default_factory=dict)
    seeds: int = 0
    made: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A system with settings, under the name it has in tables."""

    label: str
    system: str
    config: ProviderConfig | None = None


def plain_variants(systems: Iterable[str]) -> list[Variant]:
    """Systems as they come."""
    return [Variant(system, system) for system in systems]


def run_variants(
    options: Options, scenario: Scenario, variants: Sequence[Variant], seeds: int | None = None
) -> dict[str, list[Done]]:
    """Every variant on seeds 1..n; grouped by label, in order of seeds."""
    count = seeds or options.seeds
    jobs = [
        Job(scenario, variant.system, seed, variant.config, variant.label)
        for variant in variants
        for seed in range(1, count + 1)
    ]
    results = []
    for done in run_all(jobs, options.workers, options.store):
        options.watch(f"{scenario.name} {done.system} seed {done.seed}")
        results.append(done)
    return by_system(results)


def run_many(options: Options, work: Callable[[Item], Any], items: Sequence[Item]) -> list[Any]:
    """A function of its own on many items, in parallel and resumable."""
    found = []
    for answer in run_tasks(work, items, options.workers, options.store):
        options.watch(work.__name__.strip("_").replace("_", " "))
        found.append(answer)
    return found


def percent(figure: Interval) -> str:
    """A share with its interval, signed, in per cent."""
    return f"{100 * figure.mean:+.1f} ± {100 * figure.half:.1f} %"


def number(figure: Interval, digits: int = 1) -> str:
    """A figure with its interval."""
    return f"{figure.mean:.{digits}f} ± {figure.half:.{digits}f}"
