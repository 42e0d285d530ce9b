"""Figures of the network's benches: where and when they were measured stands beside them."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the reader must know to judge a figure."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "load_average": [round(load, 2) for load in os.getloadavg()],
        },
    }


def write_figure(file: Path, figure: dict[str, Any]) -> None:
    """As JSON, readable."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figure, indent=1) + "\n", encoding="utf-8")


def percentile(values: list[float], share: float) -> float:
    """Nearest rank of sorted values; 0 for none."""
    return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0
