"""Where the engine and the models live: the user's cache folder, shared by all checkouts. Names carry versions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .errors import SetupError


def cache_root(environment: Mapping[str, str] | None = None) -> Path:
    """$XDG_CACHE_HOME/wwwserve, else ~/.cache/wwwserve. A relative XDG_CACHE_HOME is ignored, as its rules say."""
    chosen = (os.environ if environment is None else environment).get("XDG_CACHE_HOME", "")
    base = Path(chosen) if chosen.startswith("/") else Path.home() / ".cache"
    return base / "wwwserve"


def check_space(folder: Path, needed_bytes: int) -> None:
    """Refuse before a long download rather than in the middle of it."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise SetupError(
            f"{folder} has {free / 1e9:.1f} GB free; {needed_bytes / 1e9:.1f} GB are needed. "
            "Make room, or set XDG_CACHE_HOME to a folder on a larger disk."
        )
