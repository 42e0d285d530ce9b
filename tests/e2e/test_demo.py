"""The main job, for real: `scripts/demo.py` with vLLM and a model, in processes of its own. Read from its JSON only."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real_vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo: ok in" in done.stderr.splitlines()[-1]
    return json.loads(done.stdout)


def change(report: dict[str, Any], owner: str, account: str) -> int:
    def amount(when: str) -> int:
        return next(row["amount"] for row in report[when] if (row["owner"], row["account"]) == (owner, account))

    return amount("after") - amount("before")


def test_demo__answers__are_real_and_priced_by_the_formula(report: dict[str, Any]) -> None:
    assert [bought["what"] for bought in report["bought"]] == ["streamed chat", "plain chat"]
    assert "Paris" in report["bought"][0]["text"]
    for bought in report["bought"]:
        exact = (
            bought["prompt_tokens"] * bought["price_prompt"] + bought["completion_tokens"] * bought["price_completion"]
        )
        assert bought["charge"] == -(-exact // 1_000_000)
        assert bought["completion_tokens"] > 0


def test_demo__money__is_conserved_and_paid_to_whom_served(report: dict[str, Any]) -> None:
    for provider in ("provider-1", "provider-2"):
        served = sum(bought["charge"] for bought in report["bought"] if bought["provider"] == provider)
        assert change(report, "client", f"paid to {provider}") == served
        assert change(report, provider, "escrow, earnings") == served
        assert change(report, "client", f"allotted to {provider}, left") == -served
        assert change(report, provider, "registry, stake") == 0
    assert change(report, "escrow", "currency held") == 0


def test_demo__audit__covers_both_receipts_and_finds_nothing(report: dict[str, Any]) -> None:
    assert report["audit"]["ok"] is True
    assert report["audit"]["counts"]["violations"] == 0
    assert report["audit"]["counts"]["receipts"] >= 2
    assert report["audit"]["counts"]["settlements"] >= 1


def test_demo__transactions__are_named_with_gas_and_hash(report: dict[str, Any]) -> None:
    assert any(mined["what"] == "claim" for mined in report["mined"])
    assert all(mined["gas_used"] > 21_000 and len(mined["tx_hash"]) == 66 for mined in report["mined"])


def test_demo__afterwards__nothing_is_left_running(report: dict[str, Any]) -> None:
    assert report["seconds"] > 0
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in processes if b"wwwserve-demo-" in line]
