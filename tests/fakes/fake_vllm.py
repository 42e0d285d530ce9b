"""Stands in for the `vllm` command in supervisor tests: same start, health, drain and stragglers, in milliseconds.

Fates come as extra flags: --fake crash | never | slow=SECONDS (an answer takes so long) | stubborn (ignores SIGTERM).
`--notes FOLDER` is where it writes its process ids; a file `deaf` there makes /health fail, `broken` makes starts fail.
"""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

STRAGGLER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
LAUNCHER = """#!{python}
import runpy, sys
sys.path.insert(0, {root!r})
runpy.run_module("tests.fakes.fake_vllm", run_name="__main__")
"""


def install(folder: Path) -> Path:
    """An executable called vllm, and a model folder beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / "vllm"
    command.write_text(LAUNCHER.format(python=sys.executable, root=str(Path(__file__).parents[2])))
    command.chmod(0o755)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return command


def flag(name: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


class Handler(http.server.BaseHTTPRequestHandler):
    """/health, and any other path after a while."""

    def do_GET(self) -> None:
        notes, fate = Path(flag("--notes")), flag("--fake")
        deaf = (notes / "deaf").exists() or fate == "never"
        if self.path != "/health" and fate.startswith("slow="):
            time.sleep(float(fate.removeprefix("slow=")))
        self.send_response(503 if deaf and self.path == "/health" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    notes, fate = Path(flag("--notes")), flag("--fake")
    straggler = subprocess.Popen([sys.executable, "-c", STRAGGLER])
    (notes / f"pids-{os.getpid()}").write_text(f"{os.getpid()} {straggler.pid}")
    if fate == "crash" or (notes / "broken").exists():
        print("(APIServer pid=1) WARNING 11-21 21:00:00 [x.py:1] this may cause OSError: too many files", flush=True)
        sys.exit("(APIServer pid=1) ERROR 11-21 21:00:00 [core.py:1] RuntimeError: not enough memory for the KV cache")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(flag("--port"))), Handler)
    server.daemon_threads = False  # what is in flight may finish
    if fate == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)
    server.server_close()


if __name__ == "__main__":
    main()
