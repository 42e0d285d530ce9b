"""Run the whole market until Ctrl-C. The code is in node/cli/devnet.py."""

from node.cli.devnet import main

if __name__ == "__main__":
    main()
