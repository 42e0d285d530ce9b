"""Nested JSON of a stranger must end in an exception, never in the C stack's overflow (a library lifts the limit)."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("modules", ["node.cli.gateway", "node.app", "node.adapters.chain.evm, node.adapters.keys"])
def test_bottomless_json__in_a_process_of_ours__is_refused_and_the_process_lives(modules: str) -> None:
    code = f"""
import {modules}
from node.core.assembly import json_object
assert json_object("[" * 1_000_000) is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
