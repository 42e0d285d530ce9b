"""One measurement: drive a gateway with load.c; read processor time, memory and latencies. Bounded, loopback only."""

import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Load:
    """What to send. `rate` 0 = closed loop."""

    concurrency: int
    seconds: float
    rate: float = 0
    warm: float = 0.5


@dataclass(frozen=True)
class Sample:
    """What came of it. Times in microseconds, memory in MB."""

    per_second: float
    latency_p50: float
    latency_p99: float
    first_byte_p50: float
    requests: int
    events: int
    bad: int
    cpu_per_request: float
    cpu_per_event: float
    memory: float


def process_tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of the tree."""
    total = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(root: int) -> float:
    """Resident memory of the tree."""
    pages = 0
    for pid in process_tree(root):
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * PAGE / 2**20


def measure(binary: Path, port: int, pid: int | None, load: Load, requests: Path, *, once: bool) -> Sample:
    """Run the load; processor time is taken over the whole run and shared over all its requests, warm-up included."""
    command = [str(binary), str(port), str(load.concurrency), str(load.seconds), str(load.rate), str(load.warm)]
    before = cpu_seconds(pid) if pid else 0.0
    peak = _Peak(pid)
    command += [str(requests), *(["once"] if once else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory = peak.stop()
    spent = cpu_seconds(pid) - before if pid else 0.0
    result = json.loads(done.stdout)
    share = (result["seconds"] + load.warm) / result["seconds"]
    requests_sent, events = max(1, result["done"] * share), max(1, result["events"] * share)
    return Sample(
        per_second=result["per_second"],
        latency_p50=result["latency_p50"],
        latency_p99=result["latency_p99"],
        first_byte_p50=result["first_byte_p50"],
        requests=result["done"],
        events=result["events"],
        bad=result["failed"] + result["not_ok"],
        cpu_per_request=spent / requests_sent * 1e6,
        cpu_per_event=spent / events * 1e6 if result["events"] else 0.0,
        memory=memory,
    )


class _Peak:
    """Looks at the memory every quarter of a second."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while self._pid and not self._ended.is_set():
            self._peak = max(self._peak, memory_mb(self._pid))
            time.sleep(0.25)
