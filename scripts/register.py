"""Register a provider, change or leave. The code is in node/cli/register.py."""

from node.cli.register import main

if __name__ == "__main__":
    main()
