"""Run the whole market once. The code is in node/cli/demo.py."""

from node.cli.demo import main

if __name__ == "__main__":
    main()
