#!/usr/bin/env python3
"""Install vLLM and a small model into the user's cache folder; see --help. Needs Python 3.11 and nothing else."""

import sys

from setup.engine_cli import main

if __name__ == "__main__":
    sys.exit(main())
