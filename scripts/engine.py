"""Run one vLLM with the small model on loopback. The code is in node/cli/engine.py."""

from node.cli.engine import main

if __name__ == "__main__":
    main()
