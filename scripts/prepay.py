"""Prepay, allot, thaw and withdraw. The code is in node/cli/prepay.py."""

from node.cli.prepay import main

if __name__ == "__main__":
    main()
