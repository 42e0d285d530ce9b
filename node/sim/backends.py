"""Where independent simulations run: in this process, on this machine's cores, or on a Ray cluster (extra `ray`).

Ray is an existing engine for sweeps larger than one machine; nothing here schedules anything itself.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")

BACKENDS = ("processes", "ray")


class BackendMissing(RuntimeError):
    """The chosen back-end is not installed."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many at once, and where."""

    count: int = 1
    backend: str = "processes"

    def check(self) -> "Workers":
        """Itself. Raises BackendMissing with what to do."""
        if self.backend == "ray" and find_spec("ray") is None:
            raise BackendMissing("Ray is not installed: pip install 'wwwserve[ray]'")
        return self

    def map(self, work: Callable[[Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """Results in order of the items, each as soon as it and those before it are there."""
        if self.backend == "ray":
            return _on_ray(work, items, self.count)
        return _on_cores(work, items, self.count)


def _on_cores(work: Callable[[Item], Found], items: Sequence[Item], count: int) -> Iterator[Found]:
    if count <= 1 or len(items) <= 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(count) as pool:
        yield from pool.map(work, items)


def _on_ray(work: Callable[[Item], Found], items: Sequence[Item], count: int) -> Iterator[Found]:
    """On the cluster that RAY_ADDRESS names, else on `count` cores of this machine."""
    import ray  # noqa: PLC0415  # an extra

    here = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": count, "include_dashboard": False}
    ray.init(ignore_reinit_error=True, log_to_driver=False, **here)
    try:
        remote = ray.remote(work)
        for answer in [remote.remote(item) for item in items]:
            yield ray.get(answer)
    finally:
        ray.shutdown()
