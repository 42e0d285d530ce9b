"""The gateways that are measured side by side: how to get each one and how to start it in front of the stub engine.

Each Python package gets an environment of its own in the user's cache; nginx comes from Debian. One that cannot be had
is left out and named in the result. Only ours takes payment.
"""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.cli.devmarket.processes import free_port
from tests.bench.requests import KEY

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wwwserve" / "bench"
READY_SECONDS = 90
ROUTER_OPTIONS = ("--host", "127.0.0.1", "--policy", "round_robin", "--log-level", "error")
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_body_buffer_size 64k;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048; keepalive_requests 1000000;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
LITELLM = """
model_list:
  - model_name: stub
    litellm_params: {{model: openai/stub, api_base: "http://127.0.0.1:{engine}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{num_retries: 0, telemetry: false}}
"""


@dataclass(frozen=True)
class Gateway:
    """One under measurement."""

    name: str
    package: str
    is_paid: bool = False

    @property
    def venv(self) -> Path:
        """One for each Python, so that a gateway written in Python runs on the same as ours."""
        python = os.path.realpath(sys.executable)
        return CACHE / f"{self.name}-{hashlib.sha256(python.encode()).hexdigest()[:8]}"


GATEWAYS = (
    Gateway("wwwserve", "", is_paid=True),
    Gateway("nginx", "nginx-light"),
    Gateway("vllm-router", "vllm-router"),
    Gateway("sglang-router", "sglang-router"),
    Gateway("litellm", "litellm[proxy]"),
)


def install(gateway: Gateway) -> str | None:
    """Get it if need be; None when it is there, else why it is not."""
    if gateway.is_paid:
        return None
    if gateway.name == "nginx":
        return _install_nginx(gateway)
    stamp = gateway.venv / "installed"
    if stamp.exists():
        return None
    sys.stderr.write(f"bench: installing {gateway.package} into {gateway.venv}\n")
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(gateway.venv)],
        [str(gateway.venv / "bin" / "pip"), "install", "--quiet", gateway.package],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"cannot install {gateway.package}: {done.stderr.strip()[-300:]}"
    stamp.touch()
    return None


def _install_nginx(gateway: Gateway) -> str | None:
    if shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "nginx is not installed (on Debian: apt-get install nginx-light)"
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", gateway.package]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"apt-get: {done.stderr.strip()[-300:]}"
    return None


def version_of(gateway: Gateway) -> str:
    """What was measured."""
    if gateway.is_paid:
        return "this checkout"
    if gateway.name == "nginx":
        nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") or "nginx"
        return subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr.strip().split("/")[-1]
    python = str(gateway.venv / "bin" / "python")
    code = f"import importlib.metadata as m; print(m.version({gateway.name!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def _command(gateway: Gateway, port: int, engine: int, folder: Path) -> list[str]:
    binary = gateway.venv / "bin"
    prometheus = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
    workers = ("--worker-urls", f"http://127.0.0.1:{engine}", "--port", str(port))
    match gateway.name:
        case "nginx":
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, engine=engine, port=port))
            nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") or "nginx"
            return [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        case "vllm-router":
            return [str(binary / "vllm-router"), *ROUTER_OPTIONS, *workers, *prometheus]
        case "sglang-router":
            launcher = [str(binary / "python"), "-m", "sglang_router.launch_router"]
            return [*launcher, *ROUTER_OPTIONS[:-1], "error", *workers, *prometheus]
        case "litellm":
            (folder / "litellm.yaml").write_text(LITELLM.format(engine=engine, key=KEY))
            options = ["--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
            return [str(binary / "litellm"), *options, "--num_workers", "1"]
        case _:
            raise ValueError(gateway.name)


@dataclass(frozen=True)
class Running:
    """A started gateway."""

    gateway: Gateway
    port: int
    pid: int
    ready_seconds: float
    offer: dict | None = None


@contextlib.contextmanager
def running(gateway: Gateway, engine: int, tokens: Path, folder: Path) -> Iterator[Running]:
    """Start it, wait until it answers, stop its whole process group."""
    folder.mkdir(parents=True, exist_ok=True)
    started, port = time.monotonic(), free_port()
    if gateway.is_paid:
        database = folder / "ledger.db"
        command = [sys.executable, "-m", "tests.bench.node", f"http://127.0.0.1:{engine}", str(tokens), str(database)]
    else:
        command = _command(gateway, port, engine, folder)
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1", "NO_PROXY": "*"}
    with (folder / "output.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if gateway.is_paid else log,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            ready = json.loads(process.stdout.readline()) if process.stdout else {}
            port = int(ready["url"].rpartition(":")[2]) if ready else port
            if not ready:
                _wait_until_it_answers(process, port)
            yield Running(gateway, port, process.pid, time.monotonic() - started, ready.get("offer"))
        finally:
            _stop(process)


def _wait_until_it_answers(process: subprocess.Popen[str], port: int) -> None:
    body = json.dumps({"model": "stub", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("POST", "/v1/chat/completions", body, headers)
            if connection.getresponse().status == 200:
                connection.close()
                return
        time.sleep(0.1)
    raise RuntimeError("the gateway did not get ready")


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(8 if process.stdout else 0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()
