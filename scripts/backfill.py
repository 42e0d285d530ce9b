"""Read the chain into a node's database. The code is in node/cli/backfill.py."""

from node.cli.backfill import main

if __name__ == "__main__":
    main()
