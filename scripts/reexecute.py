"""Run bought answers again on an engine that you trust. The code is in node/cli/reexecute.py."""

from node.cli.reexecute import main

if __name__ == "__main__":
    main()
