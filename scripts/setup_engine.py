#!/usr/bin/env python3
"""Install vLLM and a small model into the user's cache folder; see --help. Needs Python 3.11 and nothing else."""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - a sentence instead of a traceback
        sys.exit("setup_engine: Python 3.11 or newer is needed; try .venv/bin/python")
    from setup.engine_cli import main

    sys.exit(main())
