"""Audit a settlement ledger from the outside. The code is in node/cli/audit.py."""

from node.cli.audit import main

if __name__ == "__main__":
    main()
