"""How fast the auditor is: a whole `audit.py verify` of an honest history over HTTP, in a process of its own.

`python -m tests.bench.bench_audit [--receipts N] [--out FILE]`. The history is made first (not measured) and served by
a forked process; CPU seconds and memory are the auditor's own, as the system accounts them.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Receipt
from node.core.wire import message_from_json
from tests.frauds.bulk import honest_market
from tests.frauds.listening import make_server
from tests.frauds.serving import Served

ROOT = Path(__file__).parents[2]
PAGE = 500
LANES = 20
TARGET_SECONDS = 60
"""For 100,000 receipts on one core."""


def rendered(history: dict) -> dict[str, bytes]:
    """Every settlement page the auditor will ask for, as bytes by path and query."""
    pages: dict[str, bytes] = {}
    for root, settlement in history["settlements"].items():
        lane = history["lanes"]["|".join(str(part) for part in settlement["lane"])]
        entries = lane[: settlement["count"]]
        head = {name: settlement[name] for name in ("count", "claim", "claimSignature")} | {"root": root}
        path = f"/{settlement['payee']}/v1/settlements/{root}/receipts"
        first = head | {"peaks": [], "receipts": entries[:1], "next": 1}
        pages[f"{path}?from=0&limit=1"] = orjson.dumps(first)
        if settlement["count"] == len(lane):
            pages |= _whole_tree(path, head, entries)
    return pages


def _whole_tree(path: str, head: dict, entries: list[dict]) -> dict[str, bytes]:
    pages, peaks = {}, Peaks()
    for start in range(0, len(entries), PAGE):
        rows = entries[start : start + PAGE]
        end = start + len(rows)
        answer = {
            "peaks": ["0x" + peak.hex() for peak in peaks.hashes],
            "receipts": rows,
            "next": end if end < len(entries) else None,
        }
        pages[f"{path}?from={start}&limit={PAGE}"] = orjson.dumps(head | answer)
        peaks = peaks.extend(leaf_hash(message_from_json(Receipt, row["receipt"]).struct_hash()) for row in rows)
    return pages


def serve(history: dict) -> tuple[int, int]:
    """(port, process id) of a forked server."""
    pages = rendered(history)
    server = make_server(lambda method, path, body: (200, pages[path]) if path in pages else late(method, path, body))
    port = server.server_address[1]
    served = Served(history, f"http://127.0.0.1:{port}")

    def late(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return served.answer(method, path, body)

    child = os.fork()
    if child:
        return port, child
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()
    return 0, 0


def memory_of(pid: int) -> int:
    """Peak resident kB. Not ru_maxrss: that one remembers the parent's size from before the exec."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def audit(port: int, history: dict, folder: Path) -> dict:
    """One measured audit."""
    deployment = folder / "deployment.json"
    members = {name: history[name] for name in ("chain_id", "escrow", "registry", "currency", "deploy_block")}
    deployment.write_text(json.dumps(members | {"schema": 1, "currency_symbol": "DEV", "currency_decimals": 6}))
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(ROOT / "scripts" / "audit.py"), "verify", "--json", "--allow-private"]
    command += ["--rpc", f"{url}/rpc", "--deployment", str(deployment)]
    said, start, peak = folder / "said.json", time.monotonic(), 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with said.open("w") as out, subprocess.Popen(command, stdout=out, cwd=ROOT) as process:
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.1)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(said.read_text()[:2_000])
    counts = json.loads(said.read_text())["counts"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "receipts": counts["receipts"],
        "settlements": counts["settlements"],
        "signatures": counts["signatures"],
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "cpu_us_per_receipt": round(cpu / counts["receipts"] * 1e6, 1),
        "peak_memory_mb": round(peak / 1024, 1),
    }


def main() -> None:
    """Make, serve, audit, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures" / "audit.json")
    wanted = parser.parse_args()
    history = honest_market(wanted.receipts, LANES, seed=1, settle_every=1_000).history()
    port, child = serve(history)
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = audit(port, history, Path(folder))
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    figures |= {"target_seconds": TARGET_SECONDS, "python": platform.python_version(), "cores": os.cpu_count()}
    figures |= {"load_average": [round(each, 2) for each in os.getloadavg()], "made_at": int(time.time())}
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(figures, indent=1) + "\n")
    is_good = figures["cpu_seconds"] * 100_000 / figures["receipts"] <= TARGET_SECONDS
    sys.stdout.write(json.dumps(figures) + f"\naudit-bench: {'ok' if is_good else 'too slow'}\n")
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
