"""A real vLLM for tests: one server a session (it takes half a minute), in a thread of its own, from the user's cache.

`real_tiny_engine` knows nothing and is fast: protocol, load, errors. `real_base_engine` is SmolLM2-135M: whole stories.
Without an installed engine the tests are skipped with the command that installs it; nothing here downloads.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.adapters.engine.supervisor import EngineSpec, EngineSupervisor
from scripts.setup import engine, models
from scripts.setup.cache import cache_root
from scripts.setup.errors import SetupError

START_SECONDS = 400.0  # two cores shared with other suites


def installed_spec(variant: str) -> EngineSpec:
    """What `vllm serve` needs for a variant of the model. Skips the test when the engine is not there."""
    cache = cache_root()
    place = engine.cpu_place(cache)
    if not engine.is_installed(place):
        pytest.skip("no vLLM in the cache: python3 scripts/setup_engine.py")
    try:
        model = models.ensure_model(cache, variant, place.folder)  # the weights are there; a variant takes seconds
    except SetupError as exc:
        pytest.skip(str(exc))
    return EngineSpec(place.vllm, model.folder, model.served_name, cache=place.cache)


def tokenizer_files(variant: str = "base") -> tuple[Path, Path]:
    """tokenizer.json and chat_template.jinja of a variant."""
    folder = installed_spec(variant).model
    return folder / "tokenizer.json", folder / "chat_template.jinja"


@contextlib.contextmanager
def serving(spec: EngineSpec) -> Iterator[EngineSupervisor]:
    """A ready engine, supervised in its own event loop, so that fixtures and tests of any scope may use it."""
    supervisor = EngineSupervisor(spec, dict(os.environ))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="engine supervisor")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(supervisor.start(), loop).result(START_SECONDS)
        yield supervisor
    finally:
        asyncio.run_coroutine_threadsafe(supervisor.stop(), loop).result(START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def real_tiny_engine() -> Iterator[EngineSupervisor]:
    """Random weights, small queue: 2 run, 2 wait."""
    with serving(replace(installed_spec("tiny-random"), max_running=2, max_queued=4, kv_cache_bytes=64 * 2**20)) as one:
        yield one


@pytest.fixture(scope="module")
def real_base_engine() -> Iterator[EngineSupervisor]:
    """SmolLM2-135M-Instruct in float32."""
    with serving(installed_spec("base")) as one:
        yield one
