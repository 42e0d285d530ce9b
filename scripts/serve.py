"""Run a provider's node. The code is in node/cli/serve.py."""

from node.cli.serve import main

if __name__ == "__main__":
    main()
