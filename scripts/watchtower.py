"""Run a watchtower. The code is in node/cli/watchtower.py."""

from node.cli.watchtower import main

if __name__ == "__main__":
    main()
