"""Recover from a restored or lost database. The code is in node/cli/recover.py."""

from node.cli.recover import main

if __name__ == "__main__":
    main()
