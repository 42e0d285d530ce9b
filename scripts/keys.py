"""Make and show keystore files. The code is in node/cli/keys.py."""

from node.cli.keys import main

if __name__ == "__main__":
    main()
