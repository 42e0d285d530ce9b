"""The supervisor against a fake `vllm`: whatever dies, nothing stays behind. Every test ends by counting processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from node.adapters.engine import leash
from node.adapters.engine.leashed import PREFIX, remove_stale_runs
from node.adapters.engine.supervisor import EngineSpec, EngineState, EngineSupervisor, SupervisorLimits
from node.core.errors import BadConfig, EngineFailed
from tests.fakes import fake_vllm

FAST = SupervisorLimits(
    ready=10.0, poll=0.02, health=0.05, deaf_after=3, first_pause=0.01, longest_pause=0.05, steady=60.0, margin=2.0
)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the fake engine; run folders go into it too. At the end no process of the test may live."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fake_vllm.install(tmp_path)
    yield tmp_path
    eventually(lambda: not [pid for pid in pids(tmp_path) if alive(pid)], "a process outlived its engine")
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def supervisor(bench: Path, fate: str = "", **more: object) -> EngineSupervisor:
    extra = ("--notes", str(bench), *(("--fake", fate) if fate else ()))
    spec = EngineSpec(bench / "vllm", bench / "model", "fake", drain_seconds=1, extra=extra)
    return EngineSupervisor(spec, dict(os.environ), **{"limits": FAST} | more)


def pids(bench: Path) -> list[int]:
    return [int(pid) for file in bench.glob("pids-*") for pid in file.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(is_so: Callable[[], bool], complaint: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 - processes set no events
            await asyncio.sleep(0.02)


async def test_supervisor__start_and_stop__ready_in_between_and_all_processes_reaped(bench):
    engine = supervisor(bench)
    async with engine:
        assert engine.is_accepting
        async with aiohttp.ClientSession() as session, session.get(f"{engine.base_url}/health") as reply:
            assert reply.status == 200
        assert len([pid for pid in pids(bench) if alive(pid)]) == 2
    assert engine.state is EngineState.STOPPED
    assert not [pid for pid in pids(bench) if alive(pid)]
    await engine.stop()


async def test_supervisor__engine_crashes_at_start__cause_is_named_without_columns(bench):
    with pytest.raises(EngineFailed) as caught:
        await supervisor(bench, "crash").start()
    assert "    RuntimeError: not enough memory for the KV cache" in caught.value.message
    assert "exit code 1" in caught.value.message
    assert "OSError" not in caught.value.message


async def test_supervisor__never_healthy__gives_up_at_the_deadline(bench):
    limits = SupervisorLimits(ready=1.0, poll=0.02)
    with pytest.raises(EngineFailed, match="was not ready in 1 s: it is still running"):
        await supervisor(bench, "never", limits=limits).start()


async def test_supervisor__start_cancelled__nothing_is_left(bench):
    starting = asyncio.create_task(supervisor(bench, "never").start())
    await until(lambda: len(pids(bench)) == 2)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


@pytest.mark.parametrize("victim", ["engine", "leash"])
async def test_supervisor__killed_while_serving__restarted_on_the_same_port(bench, victim):
    async with supervisor(bench) as engine:
        before, url = pids(bench), engine.base_url
        pid = before[0] if victim == "engine" else engine._engine._process.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: engine.restarts == 1 and engine.is_accepting)
        assert not [pid for pid in before if alive(pid)]
        assert engine.base_url == url
        assert "the engine ended: exit code" in engine.last_failure


async def test_supervisor__deaf_engine__killed_and_restarted(bench):
    async with supervisor(bench) as engine:
        (bench / "deaf").touch()
        await until(lambda: not engine.is_accepting)
        (bench / "deaf").unlink()
        await until(lambda: engine.is_accepting)
        assert "did not answer 3 health checks in a row" in engine.last_failure


async def test_supervisor__restart_fails_again_and_again__pauses_double_up_to_the_longest(bench):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))

    limits = SupervisorLimits(ready=10.0, poll=0.03, health=0.04, first_pause=1.0, longest_pause=4.0, handover=0)
    async with supervisor(bench, limits=limits, sleep=sleep) as engine:
        (bench / "broken").touch()
        os.kill(pids(bench)[0], signal.SIGKILL)
        await until(lambda: engine.restarts == 5)
        (bench / "broken").unlink()
        await until(lambda: engine.is_accepting)
    assert [pause for pause in pauses if pause >= 1][:5] == [1, 2, 4, 4, 4]


async def test_supervisor__stop_while_serving__request_in_flight_finishes(bench):
    engine = supervisor(bench, "slow=0.5")
    await engine.start()
    async with aiohttp.ClientSession() as session:
        asked = asyncio.create_task(session.get(f"{engine.base_url}/v1/anything"))
        await asyncio.sleep(0.2)
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        assert engine.state is EngineState.DRAINING
        assert not engine.is_accepting
        async with await asked as reply:
            assert await reply.text() == "ok"
        await stopping


async def test_supervisor__engine_ignores_sigterm__killed_after_the_grace(bench):
    engine = supervisor(bench, "stubborn")
    await engine.start()
    started_at = time.monotonic()
    await engine.stop()
    assert 3.0 <= time.monotonic() - started_at < 8.0


def test_supervisor__itself_killed__leash_takes_the_engine_along(bench):
    code = (
        "import asyncio, os, sys, tempfile; from tests.integration.test_engine_supervisor import supervisor\n"
        "from pathlib import Path\nasync def main():\n tempfile.tempdir = sys.argv[1]\n"
        " async with supervisor(Path(sys.argv[1])):\n  print('ready', flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(bench)], stdout=subprocess.PIPE)
    assert owner.stdout.readline() == b"ready\n"
    assert len([pid for pid in pids(bench) if alive(pid)]) == 2
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not list(bench.glob(f"{PREFIX}*")), "the run folder stayed")


def test_remove_stale_runs__leash_and_supervisor_gone__kills_what_works_in_the_folder(bench):
    left, live = bench / f"{PREFIX}left", bench / f"{PREFIX}live"
    for folder in (left, live):
        folder.mkdir()
    (left / leash.LOCK_FILE).touch()
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=left)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=live)
    try:
        assert remove_stale_runs(bench) == 1
        assert sleeper.wait(5) == -signal.SIGKILL
        assert not left.exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    live.rmdir()


async def test_remove_stale_runs__engine_running__leaves_it_alone(bench):
    async with supervisor(bench) as engine:
        assert remove_stale_runs(bench) == 0
        assert engine.is_accepting
        assert all(alive(pid) for pid in pids(bench))


async def test_supervisor__port_taken__refused_before_anything_starts(bench):
    async with supervisor(bench) as first:
        port = int(first.base_url.rpartition(":")[2])
        spec = EngineSpec(bench / "vllm", bench / "model", "fake", port=port)
        with pytest.raises(BadConfig, match=f"127.0.0.1:{port}"):
            await EngineSupervisor(spec, {}).start()


@pytest.mark.parametrize("missing", ["vllm", "model/config.json"])
async def test_supervisor__nothing_installed__names_the_setup_script(bench, missing):
    (bench / missing).unlink()
    with pytest.raises(BadConfig, match=r"scripts/setup_engine.py"):
        await supervisor(bench).start()
