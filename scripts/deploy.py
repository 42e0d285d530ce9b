"""Deploy one set of contracts. The code is in node/cli/deploy.py."""

from node.cli.deploy import main

if __name__ == "__main__":
    main()
