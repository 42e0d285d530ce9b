"""Compare routing systems in simulation. The code is in node/cli/simulate.py."""

from node.cli.simulate import main

if __name__ == "__main__":
    main()
