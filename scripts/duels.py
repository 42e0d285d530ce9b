"""Enroll for duels, fund bonds, collect rewards. The code is in node/cli/duels.py."""

from node.cli.duels import main

if __name__ == "__main__":
    main()
